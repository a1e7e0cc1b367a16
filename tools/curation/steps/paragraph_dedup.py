"""Paragraphs that stand in several places are kept at one of them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial
from typing import ClassVar

from pydantic import Field

from scratchgrad.tools.curation.corpus import Corpus, CorpusStep
from scratchgrad.tools.curation.hashes import Values
from scratchgrad.tools.curation.spans import Keep, part_hashes, remove_repeated
from scratchgrad.tools.recipes import Count

BLANK_LINES = re.compile(r"\n(?:[^\S\n]*\n)+")


class ParagraphDedup(CorpusStep):
    """As `line_dedup`, for what stands between blank lines."""

    source: ClassVar[str] = (
        "TFDS c4_utils.py, remove_duplicate_text, with paragraphs; Dolma's dedupe of paragraphs is line_dedup, whose "
        "paragraphs are lines"
    )

    characters: Count = Field(20, description="paragraphs of fewer stay, wherever they stand")
    allowed: Count = Field(1, description="a paragraph that stands in no more places than this stays in all of them")
    keep: Keep = Field("one", description="one: a repeated paragraph stays at one place; none: it goes everywhere")

    def run(self, corpus: Corpus) -> None:
        reason = "paragraphs of other documents"
        remove_repeated(corpus, partial(_cut, self.characters), self.keep, self.allowed, reason)


def _cut(least: int, text: str) -> tuple[Sequence[tuple[int, int]], Values]:
    spans, start = [], 0
    for blank in BLANK_LINES.finditer(text):
        spans.append((start, blank.end()))
        start = blank.end()
    spans.append((start, len(text)))
    return spans, part_hashes((text[start:end] for start, end in spans), least)
