"""Lines that stand in several places, such as menus and notices, are kept at one of them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import accumulate, pairwise
from typing import ClassVar

from pydantic import Field

from scratchgrad.tools.curation.corpus import Corpus, CorpusStep
from scratchgrad.tools.curation.hashes import Values
from scratchgrad.tools.curation.spans import Keep, part_hashes, remove_repeated
from scratchgrad.tools.recipes import Count


class LineDedup(CorpusStep):
    """A line stays at the document with the smallest (priority of its source, MD5 of its URL or else of its id, id).

    Lines are equal in lower case and without white space around them, by hashes of 64 bits.
    """

    source: ClassVar[str] = (
        "TFDS c4_utils.py, remove_duplicate_text; keep = none: Stanford CS336, assignment 4, exact_line_deduplication"
    )

    characters: Count = Field(1, description="lines of fewer stay, wherever they stand")
    allowed: Count = Field(1, description="a line that stands in no more places than this stays in all of them")
    keep: Keep = Field("one", description="one: a repeated line stays at one place; none: it goes everywhere")

    def run(self, corpus: Corpus) -> None:
        remove_repeated(corpus, partial(_cut, self.characters), self.keep, self.allowed, "lines of other documents")


def _cut(least: int, text: str) -> tuple[Sequence[tuple[int, int]], Values]:
    lines = text.split("\n")
    ends = list(accumulate(len(line) + 1 for line in lines))
    ends[-1] -= 1  # no line break there
    return list(pairwise([0, *ends])), part_hashes(lines, least)
