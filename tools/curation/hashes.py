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

# Characters that are words of their own: those of scripts without white space, and marks that part words, of which
# nothing is left when they are normalised.
_APART = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
    "\x80-\xa9\xab-\xb4\xb6-\xb9\xbb-\xbf\xd7\xf7\u1680\u2000-\u206f\u2190-\u2bff\u3000-\u303f\uff00-\uff0f\uff1a-\uff20"
)
_APART_CHARACTER = re.compile(f"[{_APART}]")
_WORD = re.compile(f"[{_APART}]|[^\\s{_APART}\0-/:-@\\[-`{{-\x7f]+")
_MARKS = regex.compile(r"[\p{P}\p{S}\p{C}\p{Z}]+")
_ASCII = bytes(ord(chr(c).lower()) if chr(c).isalnum() else 32 for c in range(128)) + bytes(range(128, 256))


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


def words_in(text: str) -> list[bytes]:
    """Letters and digits, lower case, between white space, punctuation and symbols of ASCII, as UTF-8.

    Other letters are as they are. A character of a script without white space is a word.
    """
    if not text.isascii() and _APART_CHARACTER.search(text):
        text = _APART_CHARACTER.sub(r" \g<0> ", text)
    return word_key(text).split()


def word_spans(text: str) -> list[tuple[int, int]]:
    """Where the words of `words_in` stand."""
    return [match.span() for match in _WORD.finditer(text)]


def word_key(word: str) -> bytes:
    """What stands in a span of `word_spans`, as `words_in` has it."""
    return word.encode("utf-8", "surrogatepass").translate(_ASCII)


def normalised_word(word: bytes) -> bytes:
    """NFKC, case folded, without punctuation, symbols and control characters; empty where it has nothing else."""
    if word.isascii():
        return word
    text = unicodedata.normalize("NFKC", word.decode("utf-8", "surrogatepass")).casefold()
    return _MARKS.sub("", text).encode("utf-8", "surrogatepass")


class _WordHashes(dict[bytes, int]):
    """The hash of each normalised word, by the word as it stands; 0 where nothing is left of it."""

    def __missing__(self, word: bytes) -> int:
        if len(self) >= MOST_WORDS:
            self.clear()
        normalised = normalised_word(word)
        value = int.from_bytes(hashlib.blake2b(normalised, digest_size=8).digest(), "little") | 1 if normalised else 0
        self[word] = value
        return value


_WORD_HASHES = _WordHashes()


def word_hashes(words: Sequence[bytes]) -> Values:
    """(words,) uint64, of the normalised words: 0 for marks that stand alone, odd for all others."""
    return np.fromiter(map(_WORD_HASHES.__getitem__, words), np.uint64, len(words))


def hashed_words(texts: Iterable[str]) -> tuple[Values, Values]:
    """The hashes of the normalised words of all texts in one row, (words,) uint64, and where each text's begin,
    (texts + 1,) int64. Marks that stand alone are left out.
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
