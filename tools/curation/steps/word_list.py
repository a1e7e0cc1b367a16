"""Documents with words of lists that the user supplies, and a count of these words by term."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from pydantic import Field

from scratchgrad.tools.curation.batch import Batch, Values, ratio
from scratchgrad.tools.curation.step import Filter, Rule
from scratchgrad.tools.curation.word_lists import Hits, ListedWords

MOST_TERMS = 20  # of a document that its label names


class WordList(ListedWords, Filter):
    """C4 drops a page for any hit: `edges: letters, contexts: false`. Ours drops for none until a threshold is set so.

    A document in a language without a list is not measured. The label `terms` says which terms were found how often.
    """

    source: ClassVar[str] = "tensorflow_datasets, c4_utils.py, for any hit; whole words and exceptions are ours"
    labels_documents: ClassVar[bool] = False  # what a text is trained with does not repeat such words

    max_hits: int | None = Field(0, ge=0, description="words of the lists in a document; C4: none")
    max_hits_per_word: float | None = Field(None, ge=0, le=1, description="of all its words, the share of such hits")

    def rules(self) -> list[Rule]:
        return self.thresholds(
            ("hits", "<=", "max_hits", "words of a list"),
            ("hits_per_word", "<=", "max_hits_per_word", "too many words of a list"),
        )

    def measure(self, batch: Batch) -> dict[str, Values]:
        found = self._found(batch)
        hits = np.array([np.nan if one is None else len(one.spans) for one in found], np.float64)
        return {
            "hits": hits,
            "hits_per_word": ratio(hits, batch.word_counts) + np.where(np.isnan(hits), np.nan, 0),
            "excused": np.array([np.nan if one is None else one.excused for one in found], np.float64),
        }

    def label(self, batch: Batch) -> dict[str, list[str]]:
        return {"terms": ["" if one is None else _told(one) for one in self._found(batch)]}

    def _found(self, batch: Batch) -> list[Hits | None]:
        key = f"{self.name} {self.model_dump_json()}"
        if key not in batch.memo:
            batch.memo[key] = [self.hits(document) for document in batch.documents]
        found: list[Hits | None] = batch.memo[key]
        return found


def _told(hits: Hits) -> str:
    """The most frequent ones, as `term 2; other 1`."""
    ordered = sorted(hits.terms.items(), key=lambda item: (-item[1], item[0]))
    return "; ".join(f"{term} {count}" for term, count in ordered[:MOST_TERMS])
