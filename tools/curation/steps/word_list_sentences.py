"""Sentences with words of lists that the user supplies are taken out; the rest of the document stays."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator
from itertools import pairwise
from typing import ClassVar

from pydantic import Field

from scratchgrad.tools.curation.document import Document, Removed
from scratchgrad.tools.curation.phrases import folded, name_of
from scratchgrad.tools.curation.step import Edit, Edited, Rule
from scratchgrad.tools.curation.word_lists import ListedWords

# An end mark, with closing quotes and white space behind it; the end marks of CJK need no white space.
SENTENCE_END = re.compile(r"(?:[.!?…]+[\"'”’»)\]]*(?=\s)|[。！？｡]+[」』”’）]*)[^\S\n]*\n?|\n")


class WordListSentences(ListedWords, Edit):
    """Dolma removes sentences, where C4 drops pages: so a long text is not lost for one word.

    A sentence ends at an end mark with white space behind it, at one of CJK, or with its line. A text of which nothing
    but white space is left is empty; `max_removed` drops one that loses too much.
    """

    source: ClassVar[str] = "Dolma (Soldaini et al. 2024), section 4: removal by sentences; the word lists are C4's way"
    measures: ClassVar[tuple[str, ...]] = ("sentences", "removed_sentences", "hits", "excused", "removed")

    max_removed: float | None = Field(None, ge=0, le=1, description="of the sentences, the share that may be removed")

    def rules(self) -> list[Rule]:
        return self.thresholds(("removed", "<=", "max_removed", "too many sentences with words of a list"))

    def edit(self, document: Document) -> Edited:
        hits = self.hits(document)
        if hits is None or not hits.spans:
            excused = float(hits.excused) if hits else 0.0
            return Edited(document, (), dict.fromkeys(self.measures, 0.0) | {"excused": excused})
        borders = list(sentence_borders(document.text))
        bad: dict[int, str] = {}
        text = folded(document.text)
        for start, end in hits.spans:
            first = bisect_right(borders, start) - 1
            for number in range(first, bisect_right(borders, max(start, end - 1))):
                bad.setdefault(number, name_of(text[start:end]))
        edges = [*borders, len(document.text)]
        parts = [document.text[start:end] for start, end in pairwise(edges)]
        kept = "".join(part for number, part in enumerate(parts) if number not in bad)
        removed = [Removed(f"has {term!r}", parts[number].strip()) for number, term in sorted(bad.items())]
        measured = {
            "sentences": float(len(parts)), "removed_sentences": float(len(bad)), "hits": float(len(hits.spans)),
            "excused": float(hits.excused), "removed": len(bad) / len(parts),
        }  # fmt: skip
        return Edited(document.with_text(kept if kept.strip() else ""), removed, measured)


def sentence_borders(text: str) -> Iterator[int]:
    """Where each sentence begins; none of an empty text."""
    if text:
        yield 0
    for match in SENTENCE_END.finditer(text):
        if match.end() < len(text):
            yield match.end()
