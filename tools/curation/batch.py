"""Several documents that are measured at once, with what their rules share, computed once and only if a rule asks."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from itertools import chain
from typing import Any

import numpy as np

from scratchgrad.tools.curation.document import Document

Values = np.ndarray[Any, Any]


class Batch:
    """What a rule says of a document never depends on the others of its batch.

    Words are what stands between white space. All words of all documents stand in one row; those of document i are
    `words[word_starts[i] : word_starts[i + 1]]`, and so with lines.
    """

    def __init__(self, documents: Sequence[Document]) -> None:
        self.documents = list(documents)

    def __len__(self) -> int:
        return len(self.documents)

    @cached_property
    def texts(self) -> list[str]:
        return [document.text for document in self.documents]

    @cached_property
    def characters(self) -> Values:
        """(documents,) float64: of each text."""
        return np.array([len(text) for text in self.texts], np.float64)

    @cached_property
    def words_of(self) -> list[list[str]]:
        return [text.split() for text in self.texts]

    @cached_property
    def words(self) -> list[str]:
        return list(chain.from_iterable(self.words_of))

    @cached_property
    def word_starts(self) -> Values:
        """(documents + 1,) int64."""
        return _starts(self.words_of)

    @cached_property
    def word_counts(self) -> Values:
        """(documents,) float64."""
        return np.diff(self.word_starts).astype(np.float64)

    @cached_property
    def word_lengths(self) -> Values:
        """(words,) int64, characters."""
        return np.fromiter(map(len, self.words), np.int64, len(self.words))

    @cached_property
    def word_hashes(self) -> Values:
        """(words,) int64: equal for equal words of this process, and else not but for one chance in 2^64."""
        return np.fromiter(map(hash, self.words), np.int64, len(self.words))

    @cached_property
    def lines_of(self) -> list[list[str]]:
        """Of each document its lines, without white space around them; blank ones are left out."""
        return [[line for raw in text.split("\n") if (line := raw.strip())] for text in self.texts]

    @cached_property
    def line_starts(self) -> Values:
        """(documents + 1,) int64."""
        return _starts(self.lines_of)

    def sum_over_words(self, values: Values) -> Values:
        """(documents,) float64: of each document the sum of `values`, (words,)."""
        return sums(values, self.word_starts)


def sums(values: Values, starts: Values) -> Values:
    """(parts,) float64: the sum of `values` from each start to the next; zero for a part without any."""
    totals: Values = np.concatenate([[0.0], np.cumsum(values, dtype=np.float64)])
    parts: Values = totals[starts[1:]] - totals[starts[:-1]]
    return parts


def ratio(part: Values, whole: Values) -> Values:
    """part / whole, and 0 where the whole is 0: a ratio is defined for an empty text."""
    shares: Values = np.divide(part, whole, out=np.zeros(np.shape(whole)), where=np.asarray(whole) != 0)
    return shares


def _starts(parts: Sequence[Sequence[Any]]) -> Values:
    return np.concatenate([[0], np.cumsum([len(part) for part in parts], dtype=np.int64)]).astype(np.int64)
