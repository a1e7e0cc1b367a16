"""How text is cut into pieces before bytes are paired: no token reaches across a cut."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import regex

from scratchgrad.errors import UserError


class Pattern(NamedTuple):
    """`published` as its authors wrote it and other programs read it; `possessive` finds the same pieces faster."""

    published: str
    possessive: str


PATTERNS = {
    # Radford et al. 2019, encoder.py
    "gpt2": Pattern(
        r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
        r"'(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s",
    ),
    # cl100k_base: letters of any case after an apostrophe, numbers of three digits at most, line breaks stay together
    "gpt4": Pattern(
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
        r"|\s+(?!\S)|\s+",
        r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]"
        r"|\s+(?!\S)|\s",
    ),
}


@cache
def cutter(pattern: str) -> Callable[[str], list[str]]:
    """A function from text to its pieces, which joined are the text: by the pattern of this name, or by `pattern`.

    What the user's own pattern does not match is a piece, too. UserError where it is no regular expression.
    """
    if pattern in PATTERNS:
        pieces: Callable[[str], list[str]] = regex.compile(PATTERNS[pattern].possessive).findall  # it matches any text
        return pieces
    try:
        own = regex.compile(pattern)
    except regex.error as error:
        raise UserError(f"the pre-tokenizing pattern {pattern!r} is not a regular expression: {error}") from None

    def cut(text: str) -> list[str]:
        borders = sorted({0, len(text), *(border for match in own.finditer(text) for border in match.span())})
        return [text[start:end] for start, end in itertools.pairwise(borders)]

    return cut


def name_of(published: str) -> str:
    """The name of a published pattern, or the pattern where it has none."""
    return next((name for name, pattern in PATTERNS.items() if pattern.published == published), published)
