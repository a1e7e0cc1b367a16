"""What The Stack's filters ask of a source file."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from pydantic import Field

from scratchgrad.tools.curation.batch import Batch, Values, ratio, sums
from scratchgrad.tools.curation.code_files import (
    comment_share,
    extension_limits,
    extension_of,
    lexical_tokens,
    programming_language_of,
    visible_text,
)
from scratchgrad.tools.curation.document import Document
from scratchgrad.tools.curation.step import Filter, Rule
from scratchgrad.tools.curation.tokens import ALPHANUMERIC, LETTER

XML_HEADER = "<?xml version="
HEADER_CHARACTERS = 100


class CodeQuality(Filter):
    """BigCode (SantaCoder 2023, StarCoder 2023), bigcode-dataset/preprocessing/filtering.py.

    The language of a file is that of its extension, or what its metadata says. Comments are measured of Python, Java
    and JavaScript, by a scanner that also reads what does not compile: BigCode uses `ast`, `tokenize` and pygments, for
    which a Python 2 file has none. The visible text of a page is asked of HTML. There is no tokenizer here, so that
    characters for each lexical token (a word or a sign) stand for BigCode's "fertility", whose thresholds (2.5 for
    Python, 2.9 Java, 2.6 JavaScript) do not carry over.
    """

    source: ClassVar[str] = "bigcode-dataset, preprocessing/filtering.py"

    max_line_length: int | None = Field(1000, ge=0, description="characters of the longest line")
    max_mean_line_length: float | None = Field(100.0, ge=0, description="characters")
    min_alphanumeric: float | None = Field(0.25, ge=0, le=1, description="share of characters")
    min_comments: float | None = Field(0.01, ge=0, le=1, description="share of characters in comments and docstrings")
    max_comments: float | None = Field(0.8, ge=0, le=1, description="share of characters in comments and docstrings")
    max_xml_headers: int | None = Field(
        0, ge=0, description=f"{XML_HEADER} in the first {HEADER_CHARACTERS} characters"
    )
    min_visible_html: float | None = Field(0.2, ge=0, le=1, description="share of characters that a browser shows")
    min_visible_html_characters: int | None = Field(100, ge=0, description="characters that a browser shows")
    min_characters_per_token: float | None = Field(None, ge=0, description="characters for each word or sign")
    max_characters_per_token: float | None = Field(None, ge=0, description="characters for each word or sign")
    min_stars: int | None = Field(None, ge=0, description="more than that many, where metadata has them")
    extensions_file: str | None = Field(
        None, description="a CSV file with limits for each extension: BigCode's visual_inspection.csv, or like it"
    )
    max_beyond_extension: int | None = Field(0, ge=0, description="limits of extensions_file that a file is beyond")

    def paths(self) -> list[str]:
        return [] if self.extensions_file is None else [self.extensions_file]

    def rules(self) -> list[Rule]:
        return self.thresholds(
            ("longest_line", "<=", "max_line_length", "a line is too long"),
            ("mean_line_length", "<=", "max_mean_line_length", "lines too long"),
            ("alphanumeric", ">=", "min_alphanumeric", "too few letters and digits"),
            ("comments", ">", "min_comments", "too few comments"),
            ("comments", "<", "max_comments", "too many comments"),
            ("xml_headers", "<=", "max_xml_headers", "XML"),
            ("visible_html", ">", "min_visible_html", "HTML that shows too little"),
            ("visible_html_characters", ">", "min_visible_html_characters", "HTML that shows too little"),
            ("characters_per_token", ">=", "min_characters_per_token", "too few characters for each token"),
            ("characters_per_token", "<=", "max_characters_per_token", "too many characters for each token"),
            ("stars", ">", "min_stars", "too few stars"),
            ("beyond_extension", "<=", "max_beyond_extension", "beyond the limits of its extension"),
        )

    def measure(self, batch: Batch) -> dict[str, Values]:
        tokens = batch.tokens
        newlines = np.flatnonzero(tokens.codes == 10)  # each text has one behind it
        line_lengths = np.diff(newlines, prepend=-1) - 1
        starts = np.searchsorted(newlines, tokens.text_starts)
        last_is_none = [not text or text.endswith("\n") for text in batch.texts]
        lines = np.diff(starts) - np.array(last_is_none, np.float64)
        letters, alphanumeric = (_shares(batch, kind) for kind in (LETTER, ALPHANUMERIC))
        longest = np.maximum.reduceat(line_lengths, starts[:-1]) if len(batch) else np.zeros(0)
        mean = ratio(sums(line_lengths, starts), lines)
        lexical = np.array(list(map(lexical_tokens, batch.texts)), np.float64)
        html = [
            visible_text(document.text) if programming_language_of(document) == "html" else None
            for document in batch.documents
        ]
        visible = np.array([np.nan if text is None else len(text) for text in html], np.float64)
        return {
            "longest_line": longest.astype(np.float64),
            "mean_line_length": mean,
            "alphanumeric": alphanumeric,
            "comments": np.array(list(map(comment_share, batch.documents)), np.float64),
            "xml_headers": np.array([text[:HEADER_CHARACTERS].count(XML_HEADER) for text in batch.texts], np.float64),
            "visible_html": np.where(np.isnan(visible), np.nan, ratio(visible, batch.characters)),
            "visible_html_characters": visible,
            "characters_per_token": ratio(batch.characters, lexical),
            "stars": np.array(list(map(_stars, batch.documents)), np.float64),
            "beyond_extension": self._beyond(batch, longest, mean, alphanumeric, letters),
        }

    def _beyond(self, batch: Batch, longest: Values, mean: Values, alphanumeric: Values, letters: Values) -> Values:
        """How many limits of its extension each document is beyond; one that the file leaves out is beyond one."""
        if self.extensions_file is None:
            return np.full(len(batch), np.nan)
        limits = extension_limits(self.extensions_file)
        beyond = []
        for index, document in enumerate(batch.documents):
            limit = limits.get(extension_of(document))
            if limit is None or not limit.included:
                beyond.append(1)
                continue
            is_beyond = (
                longest[index] > limit.longest_line,
                mean[index] > limit.mean_line,
                alphanumeric[index] < limit.alphanumeric,
                letters[index] < limit.letters,
            )
            beyond.append(sum(map(int, is_beyond)))
        return np.array(beyond, np.float64)


def _shares(batch: Batch, kind: int) -> Values:
    if not len(batch):
        return np.zeros(0)
    found = (batch.tokens.kinds & kind) > 0
    return ratio(np.add.reduceat(found, batch.tokens.text_starts[:-1], dtype=np.int64), batch.characters)


def _stars(document: Document) -> float:
    stars = next((document.metadata[key] for key in ("max_stars_count", "stars") if key in document.metadata), np.nan)
    return float(stars or 0)
