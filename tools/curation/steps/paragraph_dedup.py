"""Paragraphs that stand in several places are kept at one of them."""

from __future__ import annotations

import re
from typing import ClassVar

from pydantic import Field

from scratchgrad.tools.curation.spans import SpanDedup, Spans
from scratchgrad.tools.recipes import Count

BLANK_LINES = re.compile(r"\n(?:[^\S\n]*\n)+")


class ParagraphDedup(SpanDedup):
    """As `line_dedup`, for what stands between blank lines."""

    source: ClassVar[str] = "TFDS c4_utils.py, remove_duplicate_text, of paragraphs; ngram: DCLM's BFF, 13 words, 0.8"
    kind = "paragraphs"

    characters: Count = Field(20, description="paragraphs of fewer stay, wherever they stand")

    def spans(self, text: str) -> Spans:
        spans, start = [], 0
        for blank in BLANK_LINES.finditer(text):
            spans.append((start, blank.end()))
            start = blank.end()
        return [*spans, (start, len(text))]
