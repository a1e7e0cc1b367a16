"""mC4's rule for a page: it has paragraphs, not only a menu."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from scratchgrad.tools.curation.batch import Batch, Values
from scratchgrad.tools.curation.step import Filter, Rule


class Mc4Page(Filter):
    """Xue et al. 2021 (mT5), section 3.1: at least three lines of 200 characters or more."""

    source: ClassVar[str] = "mT5 (2021), section 3.1; tensorflow_datasets, c4_utils.py"

    min_long_lines: int | None = Field(3, ge=0, description="lines of at least long_line characters")
    long_line: int = Field(200, ge=1, description="characters, without white space around them")

    def rules(self) -> list[Rule]:
        return self.thresholds(("long_lines", ">=", "min_long_lines", "too few long lines"))

    def measure(self, batch: Batch) -> dict[str, Values]:
        return {"long_lines": batch.sum_over_lines(batch.line_lengths >= self.long_line)}
