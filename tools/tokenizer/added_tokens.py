"""Tokens that stand beside the vocabulary: found in text as they are spelled, before anything else is done."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple


class AddedToken(NamedTuple):
    """special: found only where the caller allows it, for it marks places (an end, a speaker) and is no text.
    normalized: looked for in the normalized text, itself normalized, instead of in the text as it came."""

    text: str
    id: int
    special: bool = True
    normalized: bool = False


class Splitter:
    """Cuts text at the first of these tokens, the longest of those that begin there, then goes on behind it."""

    def __init__(self, tokens: Iterable[tuple[str, int]]) -> None:
        self._id_of = dict(tokens)
        longest_first = sorted(self._id_of, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, longest_first))) if longest_first else None

    def __bool__(self) -> bool:
        return self._pattern is not None

    def split(self, text: str) -> Iterator[tuple[int, int, int | None]]:
        """(start, end, id of the token or None for text between tokens), in order, without empty texts."""
        done = 0
        for match in self._pattern.finditer(text) if self._pattern else ():
            if match.start() > done:
                yield done, match.start(), None
            yield match.start(), match.end(), self._id_of[match.group()]
            done = match.end()
        if done < len(text):
            yield done, len(text), None
