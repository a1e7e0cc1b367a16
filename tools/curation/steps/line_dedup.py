"""Lines that stand in several places, such as menus and notices, are kept at one of them."""

from __future__ import annotations

from itertools import accumulate, pairwise
from typing import ClassVar

from scratchgrad.tools.curation.spans import SpanDedup, Spans


class LineDedup(SpanDedup):
    source: ClassVar[str] = (
        "TFDS c4_utils.py, remove_duplicate_text; keep = none: Stanford CS336, assignment 4, exact_line_deduplication; "
        "ngram: Dolma's dedupe of paragraphs by n-grams, whose paragraphs are lines"
    )
    kind = "lines"

    def spans(self, text: str) -> Spans:
        ends = list(accumulate(len(line) + 1 for line in text.split("\n")))
        ends[-1] -= 1  # no line break there
        return list(pairwise([0, *ends]))
