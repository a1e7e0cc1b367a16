"""The words and lines of several texts, found in one pass over their code points: no Python object for any of them.

Equality is that of 64-bit hashes, which depend on the text alone, not on the process.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, cached_property
from hashlib import blake2b
from typing import Any

import numpy as np
import regex

Values = np.ndarray[Any, Any]

SPACE, LETTER, ALPHANUMERIC, TERMINAL = 1, 2, 4, 8
KNOWN = 0x32400  # code points from here on are neither space nor letter nor digit nor punctuation
LONG = 32  # characters, of words that are hashed one by one
MIX = np.uint64(0x9E3779B97F4A7C15)
MIX_TOO = np.uint64(0xC2B2AE3D27D4EB4F)
SHIFT = np.uint64(32)


class Tokens:
    """Words are what stands between white space, as `str.split` has it. Lines end at newlines; blank ones are none.

    White space around a line is not part of it. Paragraphs are lines with no blank line between them.
    All words of all texts stand in one row, and so all lines and paragraphs: those of text i are
    `word_starts[i]` to `word_starts[i + 1]`, exclusive.
    """

    def __init__(self, texts: Sequence[str]) -> None:
        self.texts = texts
        joined = "\n".join(texts) + "\n"
        self.codes: Values = np.frombuffer(joined.encode("utf-32-le", "surrogatepass"), "<u4")
        self.kinds: Values = _kinds()[np.minimum(self.codes, KNOWN)]
        lengths = np.fromiter(map(len, texts), np.int64, len(texts)) + 1
        self.text_starts: Values = np.concatenate([[0], np.cumsum(lengths)])

        space = np.concatenate([[True], (self.kinds & SPACE).astype(bool)])
        edges = np.flatnonzero(space[1:] != space[:-1])
        self.word_from: Values = edges[0::2]  # (words,) int64: the place of the first code point
        self.word_to: Values = edges[1::2]  # and that after the last one
        self.word_starts: Values = np.searchsorted(self.word_from, self.text_starts)

    @cached_property
    def text_of_word(self) -> Values:
        """(words,) int64."""
        return np.repeat(np.arange(len(self.texts)), np.diff(self.word_starts))

    @cached_property
    def word_lengths(self) -> Values:
        """(words,) int64, characters."""
        lengths: Values = self.word_to - self.word_from
        return lengths

    @cached_property
    def word_kinds(self) -> Values:
        """(words,) uint8: LETTER is set where any character of the word is one, and so on."""
        if not len(self.word_from):
            return np.zeros(0, np.uint8)
        kinds: Values = np.bitwise_or.reduceat(self.kinds, self.word_from)
        return kinds

    @cached_property
    def word_hashes(self) -> Values:
        """(words,) uint64."""
        lengths = self.word_lengths
        order = np.argsort(np.minimum(lengths, LONG + 1).astype(np.uint16), kind="stable")[::-1]  # long ones first
        places = self.word_from[order]
        many = np.cumsum(np.bincount(np.minimum(lengths, LONG + 1), minlength=LONG + 2)[::-1])[::-1]
        hashes = np.zeros(len(lengths), np.uint64)
        for position in range(LONG):
            longer = many[position + 1]
            part = hashes[:longer]
            part += self.codes[places[:longer] + position]
            part += np.uint64(1)
            part *= MIX
            part ^= part >> SHIFT
        for index in range(many[LONG + 1]):
            start = places[index]
            word = self.codes[start : start + lengths[order[index]]].tobytes()
            hashes[index] = int.from_bytes(blake2b(word, digest_size=8).digest(), "little")
        unsorted = np.empty_like(hashes)
        unsorted[order] = hashes
        return unsorted

    @cached_property
    def _newlines_before(self) -> Values:
        """(words,) int64: newlines from the start up to each word, those between texts too."""
        before: Values = np.searchsorted(np.flatnonzero(self.codes == 10), self.word_from)
        return before

    @cached_property
    def line_words(self) -> Values:
        """(lines + 1,) int64: the first word of each line."""
        begins = np.concatenate([[1], np.diff(self._newlines_before)])[: len(self.word_from)]
        first: Values = np.append(np.flatnonzero(begins), len(self.word_from))
        return first

    @cached_property
    def line_starts(self) -> Values:
        """(texts + 1,) int64: the first line of each text."""
        starts: Values = np.searchsorted(self.line_words, self.word_starts)
        return starts

    @cached_property
    def line_from(self) -> Values:
        """(lines,) int64: the place of the first code point."""
        places: Values = self.word_from[self.line_words[:-1]]
        return places

    @cached_property
    def line_to(self) -> Values:
        """(lines,) int64: the place after the last one."""
        places: Values = self.word_to[self.line_words[1:] - 1]
        return places

    @cached_property
    def line_hashes(self) -> Values:
        """(lines,) uint64: equal for lines of equal words."""
        return self._hashes_of_parts(self.line_words)

    @cached_property
    def paragraph_words(self) -> Values:
        """(paragraphs + 1,) int64: the first word of each paragraph; a text begins one."""
        begins = np.concatenate([[2], np.diff(self._newlines_before)])[: len(self.word_from)]
        begins[self.word_starts[:-1][np.diff(self.word_starts) > 0]] = 2
        first: Values = np.append(np.flatnonzero(begins > 1), len(self.word_from))
        return first

    @cached_property
    def paragraph_starts(self) -> Values:
        """(texts + 1,) int64: the first paragraph of each text."""
        starts: Values = np.searchsorted(self.paragraph_words, self.word_starts)
        return starts

    @cached_property
    def paragraph_hashes(self) -> Values:
        return self._hashes_of_parts(self.paragraph_words)

    def _hashes_of_parts(self, words: Values) -> Values:
        """(parts,) uint64: of the words of each part, in their order, and of where lines end in it."""
        if len(words) == 1:
            return np.zeros(0, np.uint64)
        first = np.repeat(words[:-1], np.diff(words))
        position = np.arange(len(self.word_from)) - first
        line = self._newlines_before - self._newlines_before[first]
        mixed = (self.word_hashes + position.astype(np.uint64) * MIX_TOO + line.astype(np.uint64)) * MIX
        mixed ^= mixed >> SHIFT
        mixed *= MIX_TOO
        hashes: Values = np.add.reduceat(mixed, words[:-1])
        return hashes

    def ends_with_ellipsis(self, ends: Values) -> Values:
        """Bool, of each place after a word's last code point: whether the word ends with … or three dots."""
        dots: Values = ends >= 3
        for back in (1, 2, 3):
            dots &= self.codes[np.maximum(ends - back, 0)] == ord(".")
        dots |= self.codes[ends - 1] == ord("…")
        return dots


@cache
def _kinds() -> Values:
    """(KNOWN + 1,) uint8: of each code point what it is, as Python and the Unicode property STerm have it."""
    kinds = np.zeros(KNOWN + 1, np.uint8)
    terminal = set(regex.findall(r"\p{Sentence_Terminal}", "".join(map(chr, range(KNOWN)))))
    for code in range(KNOWN):
        char = chr(code)
        kinds[code] = (
            SPACE * char.isspace()
            | LETTER * char.isalpha()
            | ALPHANUMERIC * char.isalnum()
            | TERMINAL * (char in terminal)
        )
    return kinds
