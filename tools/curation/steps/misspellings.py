"""A closed list of misspellings, each replaced by what it is known to stand for."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import ClassVar

from pydantic import Field

from scratchgrad.errors import UserError
from scratchgrad.tools.curation.document import Document, Removed
from scratchgrad.tools.curation.step import Edit, Edited
from scratchgrad.tools.curation.word_file import entries

WORD = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*")
PAIR = re.compile(r"(\S+)(?:\s*->\s*|\s+)(\S.*)")


class Misspellings(Edit):
    """Opt-in: whole words of the user's list alone, for blanket correction makes "bumpy" of "numpy".

    Each line of the file is a pair, `teh the` or `teh->the` as Wikipedia's lists have it; of several corrections none
    is taken. A word in capitals, or with a capital first, keeps them. A word with a digit or _ beside it is no word.
    """

    source: ClassVar[str] = "the user's list"
    measures: ClassVar[tuple[str, ...]] = ("corrected_words",)

    file: str | None = Field(None, description="a UTF-8 text file with a misspelling and its correction in each line")

    def paths(self) -> list[str]:
        return [] if self.file is None else [self.file]

    def edit(self, document: Document) -> Edited:
        if self.file is None:
            raise UserError("the step misspellings needs misspellings.file, a list of pairs")
        corrections = _corrections(self.file)
        text, removed = document.text, []

        def corrected(match: re.Match[str]) -> str:
            word, start, end = match[0], match.start(), match.end()
            right = corrections.get(word.lower())
            beside = text[max(start - 1, 0) : start] + text[end : end + 1]
            if right is None or any(char.isalnum() or char == "_" for char in beside):
                return word
            if word.isupper() and len(word) > 1:
                right = right.upper()
            elif word[0].isupper():
                right = right[0].upper() + right[1:]
            removed.append(Removed("misspelling", word))
            return right

        return Edited(document.with_text(WORD.sub(corrected, text)), removed, {"corrected_words": len(removed)})


@cache
def _corrections(path: str) -> Mapping[str, str]:
    found = {}
    for line in entries(path):
        pair = PAIR.fullmatch(line)
        if pair is None:
            raise UserError(f"'{path}' has the line {line!r}, which is no pair such as: teh the")
        if "," not in pair[2]:
            found[pair[1].lower()] = pair[2]
    return found
