"""Unicode normal forms, and text that remembers where its characters came from."""

from __future__ import annotations

import itertools
import unicodedata
from collections.abc import Iterable
from typing import Literal, NamedTuple

import regex

Form = Literal["NFC", "NFD", "NFKC", "NFKD"]
FORMS: dict[str, Form] = {"NFC": "NFC", "NFD": "NFD", "NFKC": "NFKC", "NFKD": "NFKD"}

# What may change places with its neighbours: marks, and three characters that are none but are made of two of them.
_MARK = r"\P{CCC=0}\u0f73\u0f75\u0f81"
# A character, and those behind it that may change places with each other or, where a form composes, become one with it.
_DECOMPOSED = regex.compile(rf"(?s:.)[{_MARK}]*+")
_COMPOSED = regex.compile(rf"(?s:.)[\p{{NFC_QC=Maybe}}\p{{NFKC_QC=Maybe}}{_MARK}]*+")
# NFKC first takes apart what other forms leave whole: half-wide sound marks of kana, and letters of Hangul that stand
# alone, become such marks, vowels and finals.
_COMPATIBLE = regex.compile(
    rf"(?s:.)[\p{{NFC_QC=Maybe}}\p{{NFKC_QC=Maybe}}{_MARK}\u3133\u3135\u3136\u313a-\u313f\u314f-\u3163\uff9e\uff9f"
    r"\uffa3\uffa5\uffa6\uffaa-\uffaf\uffc2-\uffdc]*+"
)
_CLUSTERS = {"NFD": _DECOMPOSED, "NFKD": _DECOMPOSED, "NFC": _COMPOSED, "NFKC": _COMPATIBLE}
_MARKS = regex.compile(rf"[{_MARK}]{{16,}}+")


class Traced(NamedTuple):
    """Normalized text; its character i came from the characters starts[i] to ends[i] of the text before."""

    text: str
    starts: list[int]
    ends: list[int]

    def part(self, start: int, end: int) -> Traced:
        return Traced(self.text[start:end], self.starts[start:end], self.ends[start:end])


def unchanged(text: str) -> Traced:
    return Traced(text, list(range(len(text))), list(range(1, len(text) + 1)))


def trace_changes(traced: Traced, changes: Iterable[tuple[int, int, str]]) -> Traced:
    """`traced` after changes (start, end, replacement) of its text, from left to right.

    All of a replacement came from all that it stands for; what is put in belongs to the character behind it.
    """
    parts: list[str] = []
    starts: list[int] = []
    ends: list[int] = []
    done = 0
    for start, end, replacement in changes:
        parts += [traced.text[done:start], replacement]
        first, last = (start, end - 1) if end > start else (min(start, len(traced.text) - 1),) * 2
        starts += traced.starts[done:start] + [traced.starts[first]] * len(replacement)
        ends += traced.ends[done:start] + [traced.ends[last]] * len(replacement)
        done = end
    return Traced("".join([*parts, traced.text[done:]]), starts + traced.starts[done:], ends + traced.ends[done:])


def normalized(form: Form, text: str) -> str:
    """As unicodedata.normalize, but in proportion to the text: long runs of marks are put in order first.

    Their order is the canonical one (Unicode 3.11, D109), so that the result is the same; left to unicodedata, a run
    out of order takes the square of its length.
    """
    return text if text.isascii() else unicodedata.normalize(form, _MARKS.sub(_in_canonical_order, text))


def traced_form(form: Form, text: str) -> Traced:
    """The normal form of `text`, cluster by cluster: all that a cluster becomes came from all of it."""
    parts, starts, ends = [], [], []
    for match in _CLUSTERS[form].finditer(text):
        part = normalized(form, match.group())
        parts.append(part)
        starts += [match.start()] * len(part)
        ends += [match.end()] * len(part)
    return Traced("".join(parts), starts, ends)


def _in_canonical_order(run: regex.Match[str]) -> str:
    """Taken apart and sorted by class; what this Python's tables do not count as a mark stays in its place."""
    parts = "".join(unicodedata.normalize("NFD", character) for character in run.group())
    groups = itertools.groupby(parts, lambda character: unicodedata.combining(character) > 0)
    sorted_groups = (sorted(group, key=unicodedata.combining) if is_marks else group for is_marks, group in groups)
    return "".join(itertools.chain.from_iterable(sorted_groups))
