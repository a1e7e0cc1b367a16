"""How long a document is."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from pydantic import Field

from scratchgrad.tools.curation.batch import Batch, Values
from scratchgrad.tools.curation.languages import WITHOUT_SPACES, language_of
from scratchgrad.tools.curation.step import Filter, Rule


class Length(Filter):
    """Words are counted where a language puts spaces between them."""

    source: ClassVar[str] = "our own"

    min_characters: int | None = Field(1, ge=0, description="characters")
    max_characters: int | None = Field(None, ge=0, description="characters")
    min_words: int | None = Field(1, ge=0, description="between white space")
    max_words: int | None = Field(None, ge=0, description="between white space")

    def rules(self) -> list[Rule]:
        return self.thresholds(
            ("characters", ">=", "min_characters", "too short"),
            ("characters", "<=", "max_characters", "too long"),
            ("words", ">=", "min_words", "too few words"),
            ("words", "<=", "max_words", "too many words"),
        )

    def measure(self, batch: Batch) -> dict[str, Values]:
        spaced = np.array([language_of(document) not in WITHOUT_SPACES for document in batch.documents], bool)
        return {"characters": batch.characters, "words": np.where(spaced, batch.word_counts, np.nan)}
