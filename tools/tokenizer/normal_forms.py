"""Unicode normal forms, and text that remembers where its characters came from."""

from __future__ import annotations

import unicodedata
from typing import Literal, NamedTuple

import regex

Form = Literal["NFC", "NFD", "NFKC", "NFKD"]

# A character, and those behind it that may change places with each other or, where a form composes, become one with it.
_DECOMPOSED = regex.compile(r"(?s:.)\P{CCC=0}*+")
_COMPOSED = regex.compile(r"(?s:.)[\p{NFC_QC=Maybe}\p{NFKC_QC=Maybe}\P{CCC=0}]*+")


class Traced(NamedTuple):
    """Normalized text; its character i came from the characters starts[i] to ends[i] of the text before."""

    text: str
    starts: list[int]
    ends: list[int]

    def part(self, start: int, end: int) -> Traced:
        return Traced(self.text[start:end], self.starts[start:end], self.ends[start:end])


def unchanged(text: str) -> Traced:
    return Traced(text, list(range(len(text))), list(range(1, len(text) + 1)))


def traced_form(form: Form, text: str) -> Traced:
    """The normal form of `text`, cluster by cluster: all that a cluster becomes came from all of it."""
    parts, starts, ends = [], [], []
    for match in (_COMPOSED if form.endswith("C") else _DECOMPOSED).finditer(text):
        part = unicodedata.normalize(form, match.group())
        parts.append(part)
        starts += [match.start()] * len(part)
        ends += [match.end()] * len(part)
    return Traced("".join(parts), starts, ends)
