"""Tokens that stand beside the vocabulary: found in text as they are spelled, before anything else is done."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import regex

_WORD = regex.compile(r"[\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control}]")
_BLANKS, _BLANK = regex.compile(r"\s*+"), regex.compile(r"\s")


class AddedToken(NamedTuple):
    """special: found only where the caller allows it, for it marks places (an end, a speaker) and is no text.
    normalized: looked for in the normalized text, itself normalized, instead of in the text as it came.
    lstrip and rstrip: the white space before and behind it belongs to it. single_word: only where no letter, digit or
    underscore stands beside it. As in Hugging Face's tokenizers.
    """

    text: str
    id: int
    special: bool = True
    normalized: bool = False
    lstrip: bool = False
    rstrip: bool = False
    single_word: bool = False


class Splitter:
    """Cuts text at the first of these tokens, the longest of those that begin there, then goes on behind it.

    tokens: (how it is spelled in the text that is cut, the token).
    """

    def __init__(self, tokens: Iterable[tuple[str, AddedToken]]) -> None:
        self._token_of = {text: token for text, token in tokens if text}
        longest_first = sorted(self._token_of, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, longest_first))) if longest_first else None

    def __bool__(self) -> bool:
        return self._pattern is not None

    def split(self, text: str) -> Iterator[tuple[int, int, int | None]]:
        """(start, end, id of the token or None for text between tokens), in order, without empty texts."""
        done = 0
        for match in self._pattern.finditer(text) if self._pattern else ():
            token, start, end = self._token_of[match.group()], match.start(), match.end()
            if token.single_word and (_WORD.match(text, end) or (start and _WORD.match(text, start - 1))):
                continue
            if token.lstrip:
                start = max(done, _left_of(text, start))
            if token.rstrip:
                found = _BLANKS.match(text, end)
                end = found.end() if found is not None else end
            if start > done:
                yield done, start, None
            yield start, end, token.id
            done = end
        if done < len(text):
            yield done, len(text), None


def _left_of(text: str, place: int) -> int:
    """Where the white space that ends at `place` begins."""
    while place and _BLANK.match(text, place - 1):
        place -= 1
    return place
