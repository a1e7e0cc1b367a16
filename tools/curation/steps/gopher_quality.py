"""What Gopher's quality filter asks of an English page."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from pydantic import Field

from scratchgrad.tools.curation.batch import Batch, Values, ratio
from scratchgrad.tools.curation.step import Filter, Rule
from scratchgrad.tools.curation.tokens import ALPHANUMERIC, LETTER

STOP_WORDS = ("the", "be", "to", "of", "and", "that", "have", "with")
BULLETS = (ord("•"), ord("-"))


class GopherQuality(Filter):
    """Rae et al. 2021 (Gopher), section A1.1, as datatrove's gopher_quality_filter.py has it: distinct stop words.

    Words are what stands between white space; those without a letter or a digit are symbols. They count where a share
    of all words is asked for, not for the number of words and their mean length. Lines are those that are not blank.
    """

    source: ClassVar[str] = "datatrove, gopher_quality_filter.py"
    languages: ClassVar[tuple[str, ...] | None] = ("en",)

    min_words: int | None = Field(50, ge=0, description="words that are not symbols")
    max_words: int | None = Field(100_000, ge=0, description="words that are not symbols")
    min_mean_word_length: float | None = Field(3.0, ge=0, description="characters, of words that are not symbols")
    max_mean_word_length: float | None = Field(10.0, ge=0, description="characters, of words that are not symbols")
    max_hashes: float | None = Field(0.1, ge=0, description="# for each word")
    max_ellipses: float | None = Field(0.1, ge=0, description="... and … for each word")
    max_bullet_lines: float | None = Field(0.9, ge=0, le=1, description="share of lines that begin with • or -")
    max_ellipsis_lines: float | None = Field(0.3, ge=0, le=1, description="share of lines that end with ... or …")
    min_alphabetic_words: float | None = Field(0.8, ge=0, le=1, description="share of words with a letter in them")
    min_stop_words: int | None = Field(
        2, ge=0, le=len(STOP_WORDS), description=f"how many of {', '.join(STOP_WORDS)} are there, in any case"
    )

    def rules(self) -> list[Rule]:
        return self.thresholds(
            ("words", ">=", "min_words", "too few words"),
            ("words", "<=", "max_words", "too many words"),
            ("mean_word_length", ">=", "min_mean_word_length", "words too short"),
            ("mean_word_length", "<=", "max_mean_word_length", "words too long"),
            ("hashes", "<=", "max_hashes", "too many hashes"),
            ("ellipses", "<=", "max_ellipses", "too many ellipses"),
            ("bullet_lines", "<=", "max_bullet_lines", "too many bullet lines"),
            ("ellipsis_lines", "<=", "max_ellipsis_lines", "too many lines that end with an ellipsis"),
            ("alphabetic_words", ">=", "min_alphabetic_words", "too few words with a letter"),
            ("stop_words", ">=", "min_stop_words", "too few stop words"),
        )

    def measure(self, batch: Batch) -> dict[str, Values]:
        tokens = batch.tokens
        real = (tokens.word_kinds & ALPHANUMERIC) > 0
        words = batch.sum_over_words(real)
        return self.where_language_fits(
            batch,
            {
                "words": words,
                "mean_word_length": ratio(batch.sum_over_words(tokens.word_lengths * real), words),
                "hashes": ratio(batch.count("#"), batch.word_counts),
                "ellipses": ratio(batch.count("...") + batch.count("…"), batch.word_counts),
                "bullet_lines": ratio(
                    batch.sum_over_lines(np.isin(tokens.codes[tokens.line_from], BULLETS)), batch.line_counts
                ),
                "ellipsis_lines": ratio(
                    batch.sum_over_lines(tokens.ends_with_ellipsis(tokens.line_to)), batch.line_counts
                ),
                "alphabetic_words": ratio(batch.sum_over_words((tokens.word_kinds & LETTER) > 0), batch.word_counts),
                "stop_words": np.array(
                    [sum(_has_word(text, word) for word in STOP_WORDS) for text in batch.lower_texts], np.float64
                ),
            },
        )


def _has_word(text: str, word: str) -> bool:
    """Whether it stands there with no letter or digit beside it."""
    start = text.find(word)
    while start >= 0:
        end = start + len(word)
        if not text[max(start - 1, 0) : start].isalnum() and not text[end : end + 1].isalnum():
            return True
        start = text.find(word, end)
    return False
