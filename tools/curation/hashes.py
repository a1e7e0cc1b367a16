"""Hashes that are the same in every process, on every machine and in every run: an index on disk is made of them."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import Any

import numpy as np
import regex

Values = np.ndarray[Any, Any]

MOST_WORDS = 1 << 20  # of which the hashes are kept at hand
BASE = np.uint64(0x9E3779B97F4A7C15 | 1)  # of the polynomials that hash a row of words

# Scripts that are written without white space: each of their characters counts as a word.
_UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_UNSPACED_CHARACTER = re.compile(f"[{_UNSPACED}]")
_WORD = re.compile(f"[{_UNSPACED}]|[^\\s{_UNSPACED}]+")
_PUNCTUATION = regex.compile(r"[\p{P}\p{S}\p{C}]+")


def text_hash(text: str, size: int = 8) -> bytes:
    """`size` bytes of BLAKE2b."""
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=size).digest()


def mixed(values: Values, seed: int = 0) -> Values:
    """uint64 of uint64, each bit of which depends on all (the end of SplitMix64): equal for equal values."""
    with np.errstate(over="ignore"):
        values = values + np.uint64((seed * 0x9E3779B97F4A7C15) % 2**64)
        values = (values ^ values >> np.uint64(30)) * np.uint64(0xBF58476D1CE4E5B9)
        values = (values ^ values >> np.uint64(27)) * np.uint64(0x94D049BB133111EB)
        values ^= values >> np.uint64(31)
    return values


def normalised_word(word: str) -> str:
    """NFKC, case folded, without punctuation, symbols and control characters; empty where it has nothing else."""
    return _PUNCTUATION.sub("", unicodedata.normalize("NFKC", word).casefold())


def words_in(text: str) -> list[str]:
    """What stands between white space; a character of a script without white space is a word."""
    if not text.isascii() and _UNSPACED_CHARACTER.search(text):
        text = _UNSPACED_CHARACTER.sub(r" \g<0> ", text)
    return text.split()


def word_spans(text: str) -> list[tuple[int, int]]:
    """Where the words of `words_in` stand."""
    return [match.span() for match in _WORD.finditer(text)]


class _WordHashes(dict[str, int]):
    """The hash of each normalised word, by the word as it stands; 0 where nothing is left of it."""

    def __missing__(self, word: str) -> int:
        if len(self) >= MOST_WORDS:
            self.clear()
        normalised = normalised_word(word)
        value = int.from_bytes(text_hash(normalised), "little") | 1 if normalised else 0
        self[word] = value
        return value


_WORD_HASHES = _WordHashes()


def word_hashes(words: Sequence[str]) -> Values:
    """(words,) uint64, of the normalised words: 0 for punctuation that stands alone, odd for all others."""
    return np.fromiter(map(_WORD_HASHES.__getitem__, words), np.uint64, len(words))


def hashed_words(texts: Iterable[str]) -> tuple[Values, Values]:
    """The hashes of the normalised words of all texts in one row, (words,) uint64, and where each text's begin,
    (texts + 1,) int64. Punctuation that stands alone is left out.
    """
    words = [words_in(text) for text in texts]
    values = word_hashes(list(chain.from_iterable(words)))
    starts = np.concatenate([[0], np.cumsum([len(each) for each in words], dtype=np.int64)]).astype(np.int64)
    is_word = values != 0
    return values[is_word], np.concatenate([[0], np.cumsum(is_word)])[starts]


def windows(words: Values, most: int) -> Iterator[tuple[int, Values]]:
    """For each length up to `most`: the hashes of all runs of so many words, by the word that they begin with.

    Runs that begin in one text and end in another are among them.
    """
    run = np.zeros(len(words), np.uint64)
    for length in range(1, most + 1):
        run = run[: max(0, len(words) - length + 1)]
        run *= BASE
        run += words[length - 1 :]
        yield length, run


def ngrams(words: Values, starts: Values, n: int) -> tuple[Values, Values]:
    """The hashes of all runs of n words of each text, and where each text's begin: as words and starts are given.

    A text of fewer than n words is one run; one without words has none.
    """
    counts = np.diff(starts)
    values = np.zeros(len(words), np.uint64)
    used = np.arange(len(words)) + n <= np.repeat(starts[1:], counts)
    for length, run in windows(words, n):
        here = starts[:-1][counts == length] if length < n else np.flatnonzero(used & (np.repeat(counts, counts) >= n))
        values[here] = run_hashes(run[here], length)
        used[here] = True
    return values[used], np.concatenate([[0], np.cumsum(used)])[starts]


def run_hashes(run: Values, length: int) -> Values:
    """Of what `windows` gives for a length: hashes that runs of other lengths have not."""
    return mixed(run + np.uint64(length))
