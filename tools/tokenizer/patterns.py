"""How text is cut into pieces before bytes are paired: no token reaches across a cut."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import NamedTuple

import regex

from scratchgrad.errors import UserError, quoted
from scratchgrad.tools.tokenizer.blocks import BORDER
from scratchgrad.tools.tokenizer.oniguruma import rewritten

PATIENCE = 20.0  # seconds that a pattern of the user's own may take for one text
STRETCH = 256  # characters, at least, of which some that are no ASCII make the others slow, too
MOST_COPIES = 20_000  # of a pattern's parts, which repetitions multiply: some 2 kB of memory each
LONG = 1 << 20  # characters: the pieces of a longer text are not all made at once
RARE = 0.01  # of all characters: where more are no ASCII, few stretches are without them


class Pattern(NamedTuple):
    """`published` as its authors wrote it and other programs read it.

    The other two find the same pieces faster: `possessive` never tries again with less, and `of_ascii`, for text that
    is all ASCII, is for the standard library's `re`, which is twice as fast but knows no classes of characters.
    """

    published: str
    possessive: str
    of_ascii: str


# `re` counts \x1c to \x1f among \s, Unicode's White_Space does not: spelled out, ws inside [] and out of it.
_WS = r" \t\n\r\x0b\x0c"
_OTHER = rf"[^{_WS}A-Za-z0-9]"  # [^\s\p{{L}}\p{{N}}]
_SPACES = rf"[{_WS}]+\Z|[{_WS}]+(?=[{_WS}])|[{_WS}]"  # all but the last of a run, which the next piece begins with

PATTERNS = {
    # Radford et al. 2019, encoder.py
    "gpt2": Pattern(
        r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
        r"'(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s",
        rf"'(?:[sdmt]|ll|ve|re)| ?[A-Za-z]+| ?[0-9]+| ?{_OTHER}+|{_SPACES}",
    ),
    # cl100k_base: letters of any case after an apostrophe, numbers of three digits at most, line breaks stay together
    "gpt4": Pattern(
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
        r"|\s+(?!\S)|\s+",
        r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]"
        r"|\s+(?!\S)|\s",
        rf"'(?i:[sdmt]|ll|ve|re)|[^\r\nA-Za-z0-9]?[A-Za-z]+|[0-9]{{1,3}}| ?{_OTHER}+[\r\n]*|[{_WS}]*[\r\n]+|{_SPACES}",
    ),
    # o200k_base: a word is capitals, then small letters, then what follows an apostrophe
    "gpt4o": Pattern(
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
        r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
        r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]++(?:'(?i:[sdmt]|ll|ve|re))?+"
        r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]++[\p{Ll}\p{Lm}\p{Lo}\p{M}]*+(?:'(?i:[sdmt]|ll|ve|re))?+"
        r"|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n/]*+|\s++$|\s*[\r\n]++|\s+(?!\S)|\s",
        r"[^\r\nA-Za-z0-9]?[A-Z]*[a-z]+(?:'(?i:[sdmt]|ll|ve|re))?|[^\r\nA-Za-z0-9]?[A-Z]+(?:'(?i:[sdmt]|ll|ve|re))?"
        rf"|[0-9]{{1,3}}| ?{_OTHER}+[\r\n/]*|[{_WS}]*[\r\n]+|{_SPACES}",
    ),
}


@cache
def cutter(pattern: str) -> Callable[[str], list[str]]:
    """A function from text to its pieces, which joined are the text: by the pattern of this name, or by `pattern`.

    What the user's own pattern does not match is a piece, too. UserError where it is no regular expression; the
    function raises UserError where such a pattern takes more than `PATIENCE`.
    """
    return _published(PATTERNS[pattern]) if pattern in PATTERNS else _own(pattern)


def iterate(pattern: str, text: str) -> Iterator[str]:
    """The pieces of `cutter(pattern)`, one by one: of a long text they take little memory, and more time.

    A text is worked on from border to border, and a pattern of the user's own from match to match.
    """
    cut = cutter(pattern)
    if len(text) <= LONG:
        yield from cut(text)
    elif pattern in PATTERNS:
        start = 0
        while start < len(text):
            border = BORDER.search(text, start + LONG)
            end = border.start() if border is not None else len(text)
            yield from cut(text[start:end])
            start = end
    else:
        yield from _iterate_own(pattern, text)


def _iterate_own(pattern: str, text: str) -> Iterator[str]:
    compiled = regex.compile(rewritten(pattern))
    if compiled.flags & regex.REVERSE:  # whose matches come from the end
        yield from cutter(pattern)(text)
        return
    place = 0
    with _in_time(pattern, text):
        for match in compiled.finditer(text, timeout=PATIENCE * max(1, len(text) / LONG)):
            for border in match.span():
                if border > place:
                    yield text[place:border]
                    place = border
    if place < len(text):
        yield text[place:]


def name_of(published: str) -> str:
    """The name of a published pattern, or the pattern where it has none."""
    return next((name for name, pattern in PATTERNS.items() if pattern.published == published), published)


def _published(pattern: Pattern) -> Callable[[str], list[str]]:
    """It matches any text whole, so that the matches are all there is."""
    of_any: Callable[[str], list[str]] = regex.compile(pattern.possessive).findall
    of_ascii: Callable[[str], list[str]] = re.compile(pattern.of_ascii).findall

    def cut(text: str) -> list[str]:
        if text.isascii():
            return of_ascii(text)
        if len(text.encode("ascii", "ignore")) < (1 - RARE) * len(text):
            return of_any(text)
        pieces: list[str] = []
        start = 0
        while start < len(text):
            border = BORDER.search(text, start + STRETCH)
            end = border.start() if border is not None else len(text)
            stretch = text[start:end]
            pieces += of_ascii(stretch) if stretch.isascii() else of_any(stretch)
            start = end
        return pieces

    return cut


def matches_of(pattern: str) -> Callable[[str], list[tuple[int, int]]]:
    """A function from text to where the user's own pattern matches. UserError as for `cutter`.

    It is read as in a tokenizer.json, where it will stand: see `oniguruma`.
    """
    try:
        if copies_in(pattern) > MOST_COPIES:
            raise UserError(
                f"the pattern {quoted(pattern)} has more than {MOST_COPIES:,} parts, repetitions written out"
            )
        compiled = regex.compile(rewritten(pattern))
    except UserError:
        raise
    except (regex.error, RecursionError, OverflowError, ValueError, TypeError, MemoryError) as error:
        raise UserError(f"the pattern {quoted(pattern)} is not a regular expression: {error}") from None

    def find(text: str) -> list[tuple[int, int]]:
        with _in_time(pattern, text):
            return [match.span() for match in compiled.finditer(text, timeout=PATIENCE)]

    return find


@contextmanager
def _in_time(pattern: str, text: str) -> Iterator[None]:
    try:
        yield
    except TimeoutError:
        raise UserError(
            f"the pattern {quoted(pattern)} took more than {PATIENCE:.0f} s for a text of {len(text):,} "
            "characters: it tries too many ways to match"
        ) from None


def _own(pattern: str) -> Callable[[str], list[str]]:
    find = matches_of(pattern)

    def cut(text: str) -> list[str]:
        found = [border for span in find(text) for border in span]
        return [text[start:end] for start, end in itertools.pairwise(sorted({0, len(text), *found}))]

    return cut


def copies_in(pattern: str) -> int:
    """At most how many atoms a regular expression has once its counted repetitions are written out.

    `regex` compiles (a{100}){100} to memory in proportion to it. Classes and escapes count as their characters.
    """
    totals, last = [0], [0]  # of the open groups: all of it, and what a repetition would repeat
    for token in re.finditer(r"\\.|\{(\d*)(?:(,)(\d*))?\}|[()]|[^\\]", pattern, re.DOTALL):
        if token.group() == "(":
            totals.append(0)
            last.append(0)
        elif token.group() == ")" and len(totals) > 1:
            inner = totals.pop()
            last.pop()
            totals[-1] += inner
            last[-1] = inner
        elif token.group(1) or token.group(3):
            more = max(int(token.group(1) or 0), int(token.group(3) or 0)) - 1
            totals[-1] += last[-1] * max(0, more)
            last[-1] *= max(1, more + 1)
        else:
            totals[-1] += 1
            last[-1] = 1
    return sum(totals)
