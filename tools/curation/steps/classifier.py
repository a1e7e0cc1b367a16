"""A document's probability of being a good one, by a classifier that `scratchgrad-curate train-filter` made."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import ClassVar

import numpy as np
from pydantic import Field

from scratchgrad.errors import UserError
from scratchgrad.tools.curation.batch import Batch, Values
from scratchgrad.tools.curation.linear_classifier import CONFIG, WEIGHTS, LinearClassifier, load_classifier
from scratchgrad.tools.curation.step import Filter, Rule
from scratchgrad.tools.recipes import Place


class Classifier(Filter):
    """Quality as DCLM has it: what looks like the good texts stays. `train-filter` tells the threshold for a share."""

    source: ClassVar[str] = "DCLM (Li et al. 2024), section 4.4, in its way; texts and threshold are the user's"
    reason: ClassVar[str] = "unlike the good texts of the classifier"

    model: Place | None = Field(None, description="the folder that train-filter made")
    min_probability: float | None = Field(0.5, ge=0, le=1, description="that the document is a good one")

    def paths(self) -> list[str]:
        if self.model is None:
            raise UserError(
                f"the step {self.name} needs {self.name}.model: make one by `scratchgrad-curate train-filter`"
            )
        return [str(Path(self.model) / name) for name in (CONFIG, WEIGHTS)]

    def rules(self) -> list[Rule]:
        return self.thresholds(("probability", ">=", "min_probability", self.reason))

    def measure(self, batch: Batch) -> dict[str, Values]:
        if self.model is None:
            return {"probability": np.full(len(batch), np.nan)}
        return {"probability": _loaded(self.model).probabilities(batch.texts)}


@cache
def _loaded(folder: str) -> LinearClassifier:
    return load_classifier(Path(folder))
