"""Which groups of people a document speaks of, and in which dialect, counted: one sees whom a filter silences."""

from __future__ import annotations

from collections import Counter
from typing import ClassVar

import numpy as np
from pydantic import Field

from scratchgrad.tools.curation.batch import Batch, Values
from scratchgrad.tools.curation.domains import domain_of
from scratchgrad.tools.curation.group_terms import group_terms, written
from scratchgrad.tools.curation.languages import language_of
from scratchgrad.tools.curation.step import Filter


class Terms(Filter):
    """It has no rules: it drops nothing. It stands first, so that all documents are counted as they came.

    Each kind of the list is counted; the label `found` names the terms. `domain` and `language` are what a document's
    metadata say. The report tells how much of each was dropped.
    """

    source: ClassVar[str] = "terms as in Dodge et al. 2021 (C4's blocklist removed documents by and about minorities)"
    labels_documents: ClassVar[bool] = False

    file: str | None = Field(
        None, description="lines of kind<tab>term<tab>other forms; by default a short English list of ours"
    )

    def paths(self) -> list[str]:
        return [] if self.file is None else [self.file]

    def measure(self, batch: Batch) -> dict[str, Values]:
        found = self._found(batch)
        return {
            kind: np.array([sum(n for (own, _), n in counts.items() if own == kind) for counts in found], np.float64)
            for kind in group_terms(self.file).kinds
        }

    def label(self, batch: Batch) -> dict[str, list[str]]:
        return {
            "found": [written(counts) for counts in self._found(batch)],
            "domain": [domain_of(document) for document in batch.documents],
            "language": [language_of(document) for document in batch.documents],
        }

    def _found(self, batch: Batch) -> list[Counter[tuple[str, str]]]:
        if "terms" not in batch.memo:
            terms = group_terms(self.file)
            batch.memo["terms"] = [terms.count(text) for text in batch.texts]
        found: list[Counter[tuple[str, str]]] = batch.memo["terms"]
        return found
