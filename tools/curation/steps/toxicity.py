"""A document's probability of not being toxic, by a second classifier that `scratchgrad-curate train-filter` made."""

from __future__ import annotations

from typing import ClassVar

from scratchgrad.tools.curation.steps.classifier import Classifier


class Toxicity(Classifier):
    """As `classifier`, trained on harmless texts and toxic ones: a curation can ask both."""

    source: ClassVar[str] = "Dolma (Soldaini et al. 2024), section 4, in its way; texts and threshold are the user's"
    reason: ClassVar[str] = "like the toxic texts of the classifier"
