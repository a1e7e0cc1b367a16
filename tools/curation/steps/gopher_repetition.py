"""What Gopher's repetition filter asks of a page: not too much of it stands there twice."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from pydantic import Field

from scratchgrad.tools.curation.batch import Batch, Values, ratio, sums
from scratchgrad.tools.curation.languages import WITHOUT_SPACES, language_of
from scratchgrad.tools.curation.repeats import repeated_characters, repeated_ngrams, top_characters
from scratchgrad.tools.curation.step import Filter, Rule

TOP = range(2, 5)
DUPLICATE = range(5, 11)


class GopherRepetition(Filter):
    """Rae et al. 2021 (Gopher), table A1, by the formulas of datatrove's gopher_repetition_filter.py.

    A line is a duplicate where it stood there before: of three equal lines two are, a share of 0.67. Shares of
    characters are of all characters of the text. The most frequent n-gram counts with single spaces between its words,
    times how often it comes, and so once where none comes twice. Duplicate n-grams are found as one scans the text: one
    that was seen is counted and jumped over. Words are what stands between white space, and n-grams are equal where
    their words are; lines are those that are not blank, without white space around them.
    The rules on n-grams hold for languages that put spaces between words.
    """

    source: ClassVar[str] = "datatrove, gopher_repetition_filter.py"

    min_words: int | None = Field(1, ge=0, description="an empty text repeats nothing, and says nothing")
    max_duplicate_lines: float | None = Field(0.30, ge=0, le=1, description="share of lines")
    max_duplicate_paragraphs: float | None = Field(0.30, ge=0, le=1, description="share of paragraphs")
    max_duplicate_line_chars: float | None = Field(0.20, ge=0, le=1, description="share of characters")
    max_duplicate_paragraph_chars: float | None = Field(0.20, ge=0, le=1, description="share of characters")
    max_top_2_gram: float | None = Field(0.20, ge=0, description="share of characters")
    max_top_3_gram: float | None = Field(0.18, ge=0, description="share of characters")
    max_top_4_gram: float | None = Field(0.16, ge=0, description="share of characters")
    max_duplicate_5_grams: float | None = Field(0.15, ge=0, le=1, description="share of characters")
    max_duplicate_6_grams: float | None = Field(0.14, ge=0, le=1, description="share of characters")
    max_duplicate_7_grams: float | None = Field(0.13, ge=0, le=1, description="share of characters")
    max_duplicate_8_grams: float | None = Field(0.12, ge=0, le=1, description="share of characters")
    max_duplicate_9_grams: float | None = Field(0.11, ge=0, le=1, description="share of characters")
    max_duplicate_10_grams: float | None = Field(0.10, ge=0, le=1, description="share of characters")

    def rules(self) -> list[Rule]:
        return self.thresholds(
            ("words", ">=", "min_words", "no words"),
            ("duplicate_paragraphs", "<=", "max_duplicate_paragraphs", "too many duplicate paragraphs"),
            ("duplicate_paragraph_chars", "<=", "max_duplicate_paragraph_chars", "too much in duplicate paragraphs"),
            ("duplicate_lines", "<=", "max_duplicate_lines", "too many duplicate lines"),
            ("duplicate_line_chars", "<=", "max_duplicate_line_chars", "too much in duplicate lines"),
            *((f"top_{n}_gram", "<=", f"max_top_{n}_gram", f"too much of one {n}-gram") for n in TOP),
            *(
                (f"duplicate_{n}_grams", "<=", f"max_duplicate_{n}_grams", f"too much in duplicate {n}-grams")
                for n in DUPLICATE
            ),
        )

    def measure(self, batch: Batch) -> dict[str, Values]:
        tokens = batch.tokens
        paragraph_to = tokens.word_to[tokens.paragraph_words[1:] - 1]
        paragraph_lengths = paragraph_to - tokens.word_from[tokens.paragraph_words[:-1]]
        paragraphs = tokens.paragraph_starts
        values = {
            "words": batch.word_counts,
            "duplicate_lines": ratio(batch.sum_over_lines(batch.repeated_lines), batch.line_counts),
            "duplicate_line_chars": ratio(
                batch.sum_over_lines(batch.repeated_lines * batch.line_lengths), batch.characters
            ),
            "duplicate_paragraphs": ratio(sums(batch.repeated_paragraphs, paragraphs), np.diff(paragraphs)),
            "duplicate_paragraph_chars": ratio(
                sums(batch.repeated_paragraphs * paragraph_lengths, paragraphs), batch.characters
            ),
        }
        spaced = np.array([language_of(document) not in WITHOUT_SPACES for document in batch.documents], bool)
        for found in repeated_ngrams(tokens, DUPLICATE[-1]):
            if found.n in TOP:
                name, characters = f"top_{found.n}_gram", top_characters(tokens, found)
            else:
                name, characters = f"duplicate_{found.n}_grams", repeated_characters(tokens, found)
            values[name] = np.where(spaced, ratio(characters, batch.characters), np.nan)
        return values
