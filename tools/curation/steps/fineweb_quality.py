"""The three filters that FineWeb adds to Gopher's and C4's, and that against lists and code."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from scratchgrad.tools.curation.batch import Batch, Values, ratio
from scratchgrad.tools.curation.step import Filter, Rule
from scratchgrad.tools.curation.tokens import TERMINAL


class FinewebQuality(Filter):
    """Penedo et al. 2024 (FineWeb), section 3.6, by the formulas of datatrove's fineweb_quality_filter.py.

    The threshold for characters in duplicate lines is the paper's 0.1, which FineWeb-2 has, too; datatrove's code
    says 0.01. What ends a sentence is what Unicode says ends one (STerm), a quotation mark does not.
    """

    source: ClassVar[str] = "FineWeb (2024), section 3.6"
    languages: ClassVar[tuple[str, ...] | None] = ("en",)

    min_lines: int | None = Field(1, ge=0, description="lines that are not blank")
    min_punctuated_lines: float | None = Field(0.12, ge=0, le=1, description="share of lines that end a sentence")
    max_short_lines: float | None = Field(0.67, ge=0, le=1, description="share of lines of at most short_line")
    short_line: int = Field(30, ge=0, description="characters")
    max_duplicate_line_chars: float | None = Field(
        0.1, ge=0, le=1, description="share of characters that stand in lines that stood there before"
    )
    max_newlines: float | None = Field(0.3, ge=0, description="newlines for each word")

    def rules(self) -> list[Rule]:
        return self.thresholds(
            ("lines", ">=", "min_lines", "no lines"),
            ("punctuated_lines", ">=", "min_punctuated_lines", "too few lines that end a sentence"),
            ("short_lines", "<=", "max_short_lines", "too many short lines"),
            ("duplicate_line_chars", "<=", "max_duplicate_line_chars", "too much in duplicate lines"),
            ("newlines", "<=", "max_newlines", "too many newlines"),
        )

    def measure(self, batch: Batch) -> dict[str, Values]:
        tokens, lines = batch.tokens, batch.line_counts
        newlines = batch.count("\n")
        punctuated = (tokens.kinds[tokens.line_to - 1] & TERMINAL) > 0
        return self.where_language_fits(
            batch,
            {
                "lines": lines,
                "punctuated_lines": ratio(batch.sum_over_lines(punctuated), lines),
                "short_lines": ratio(batch.sum_over_lines(batch.line_lengths <= self.short_line), lines),
                "duplicate_line_chars": ratio(
                    batch.sum_over_lines(batch.repeated_lines * batch.line_lengths), batch.characters - newlines
                ),
                "newlines": ratio(newlines, batch.word_counts),
            },
        )
