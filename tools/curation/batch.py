"""Several documents that are measured at once, with what their rules share, computed once and only if a rule asks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from itertools import chain
from typing import Any

import numpy as np

from scratchgrad.tools.curation.document import Document
from scratchgrad.tools.curation.languages import UNKNOWN, language_of
from scratchgrad.tools.curation.repeats import seen_before
from scratchgrad.tools.curation.tokens import MIX, Tokens, Values

__all__ = ["Batch", "Values", "ratio", "sums"]


class Batch:
    """What a rule says of a document never depends on the others of its batch.

    Words are what stands between white space. All words of all documents stand in one row; those of document i are
    `words[word_starts[i] : word_starts[i + 1]]`, and so with lines.
    """

    def __init__(self, documents: Sequence[Document]) -> None:
        self.documents = list(documents)
        self.memo: dict[str, Any] = {}  # what a filter computes for both its measures and its labels

    def __len__(self) -> int:
        return len(self.documents)

    def add_labels(self, labels: Mapping[str, Sequence[str]]) -> None:
        """Of each document what a filter called it; from here on it stands in the document's metadata.

        One that is 'unknown' does not take the place of what was said before.
        """
        for name, values in labels.items():
            for index, (document, value) in enumerate(zip(self.documents, values, strict=True)):
                if value != UNKNOWN or name not in document.metadata:
                    self.documents[index] = replace(document, metadata={**document.metadata, name: value})

    def in_languages(self, languages: Sequence[str] | None) -> Values:
        """(documents,) bool: whether a document's language is not known, or one of these. None: all are."""
        if languages is None:
            return np.ones(len(self), bool)
        kept = {*languages, UNKNOWN}
        return np.array([language_of(document) in kept for document in self.documents], bool)

    @cached_property
    def texts(self) -> list[str]:
        return [document.text for document in self.documents]

    @cached_property
    def lower_texts(self) -> list[str]:
        return [text.lower() for text in self.texts]

    @cached_property
    def characters(self) -> Values:
        """(documents,) float64: of each text."""
        return np.array([len(text) for text in self.texts], np.float64)

    @cached_property
    def tokens(self) -> Tokens:
        return Tokens(self.texts)

    @cached_property
    def words_of(self) -> list[list[str]]:
        return [text.split() for text in self.texts]

    @cached_property
    def words(self) -> list[str]:
        return list(chain.from_iterable(self.words_of))

    @property
    def word_starts(self) -> Values:
        """(documents + 1,) int64."""
        return self.tokens.word_starts

    @cached_property
    def word_counts(self) -> Values:
        """(documents,) float64."""
        return np.diff(self.word_starts).astype(np.float64)

    @property
    def word_lengths(self) -> Values:
        """(words,) int64, characters."""
        return self.tokens.word_lengths

    @property
    def word_hashes(self) -> Values:
        """(words,) uint64: equal for equal words, in any process, and else not but for one chance in 2^64."""
        return self.tokens.word_hashes

    @cached_property
    def lines_of(self) -> list[list[str]]:
        """Of each document its lines, without white space around them; blank ones are left out."""
        return [[line for raw in text.split("\n") if (line := raw.strip())] for text in self.texts]

    @property
    def line_starts(self) -> Values:
        """(documents + 1,) int64."""
        return self.tokens.line_starts

    @cached_property
    def line_counts(self) -> Values:
        """(documents,) float64, without blank lines."""
        return np.diff(self.line_starts).astype(np.float64)

    @cached_property
    def line_lengths(self) -> Values:
        """(lines,) int64, characters, without white space around a line."""
        lengths: Values = self.tokens.line_to - self.tokens.line_from
        return lengths

    @cached_property
    def repeated_lines(self) -> Values:
        """(lines,) bool: whether the same words stood in a line of the document before."""
        return _repeated(self.tokens.line_hashes, self.line_starts)

    @cached_property
    def repeated_paragraphs(self) -> Values:
        """(paragraphs,) bool, likewise."""
        return _repeated(self.tokens.paragraph_hashes, self.tokens.paragraph_starts)

    def sum_over_words(self, values: Values) -> Values:
        """(documents,) float64: of each document the sum of `values`, (words,)."""
        return sums(values, self.word_starts)

    def sum_over_lines(self, values: Values) -> Values:
        """(documents,) float64: of each document the sum of `values`, (lines,)."""
        return sums(values, self.line_starts)

    def count(self, part: str) -> Values:
        """(documents,) float64: how often each text contains `part`."""
        return np.array([text.count(part) for text in self.texts], np.float64)


def sums(values: Values, starts: Values) -> Values:
    """(parts,) float64: the sum of `values` from each start to the next; zero for a part without any."""
    totals: Values = np.concatenate([[0.0], np.cumsum(values, dtype=np.float64)])
    parts: Values = totals[starts[1:]] - totals[starts[:-1]]
    return parts


def ratio(part: Values, whole: Values) -> Values:
    """part / whole, and 0 where the whole is 0: a ratio is defined for an empty text."""
    shares: Values = np.divide(part, whole, out=np.zeros(np.shape(whole)), where=np.asarray(whole) != 0)
    return shares


def _repeated(hashes: Values, starts: Values) -> Values:
    document = np.repeat(np.arange(len(starts) - 1, dtype=np.uint64), np.diff(starts))
    return seen_before((hashes ^ (document * MIX)) * MIX)
