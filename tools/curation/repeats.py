"""Which n-grams of words come again in the same text. Only where an n-gram does, an (n+1)-gram can."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from scratchgrad.tools.curation.tokens import MIX, MIX_TOO, SHIFT, Tokens, Values

BUCKETS = 20  # bits of a hash: with 2^20 buckets most of what comes once is seen to do so before anything is sorted


@dataclass(frozen=True)
class RepeatedNGrams:
    """The places of all n-grams that come more than once in their text, in order, and the number of each n-gram.

    places, groups: (places,) int64; n-grams are equal where their groups are, and no group spans two texts.
    sizes: (groups,) int64. firsts: (groups,) int64: the place where it comes first.
    """

    n: int
    places: Values
    groups: Values
    sizes: Values
    firsts: Values


def repeated_ngrams(tokens: Tokens, longest: int) -> Iterator[RepeatedNGrams]:
    """For n = 2 to `longest`. Word hashes make the bigrams; longer ones are pairs of numbers, without any chance."""
    text = tokens.text_of_word
    starts = np.flatnonzero(text[1:] == text[:-1])
    hashes = tokens.word_hashes
    keys = (hashes[starts] ^ (text[starts].astype(np.uint64) * MIX_TOO)) * MIX
    keys ^= keys >> SHIFT
    keys = (keys + hashes[starts + 1]) * MIX_TOO
    bucket = (keys >> np.uint64(64 - BUCKETS)).astype(np.int64)
    shared = np.bincount(bucket, minlength=1 << BUCKETS)[bucket] > 1
    found = _repeated(2, starts[shared], keys[shared])
    yield found
    for n in range(3, longest + 1):
        next_to = np.flatnonzero(found.places[1:] == found.places[:-1] + 1)
        pairs = found.groups[next_to] * len(found.sizes) + found.groups[next_to + 1]
        found = _repeated(n, found.places[next_to], pairs)
        yield found


def seen_before(keys: Values) -> Values:
    """Bool, of each key: whether an equal one stands before it."""
    order = np.argsort(keys, kind="stable")
    again = np.zeros(len(keys), bool)
    again[order[1:]] = keys[order[1:]] == keys[order[:-1]]
    return again


def repeated_characters(tokens: Tokens, found: RepeatedNGrams) -> Values:
    """(texts,) int64: the characters, without spaces, of n-grams that came before, each word counted once.

    As datatrove's `find_all_duplicate` scans a text: an n-gram that was seen is counted and jumped over, and one that
    begins inside of it is neither counted nor remembered.
    """
    ends = np.concatenate([[0], np.cumsum(tokens.word_lengths)])
    characters = ends[found.places + found.n] - ends[found.places]
    seen = bytearray(len(found.sizes))
    counted, free = [], 0
    for index, (place, group) in enumerate(zip(found.places.tolist(), found.groups.tolist(), strict=True)):
        if place >= free:
            if seen[group]:
                counted.append(index)
                free = place + found.n
            else:
                seen[group] = 1
    text = tokens.text_of_word[found.places[counted]]
    return np.bincount(text, characters[counted], minlength=len(tokens.texts)).astype(np.int64)


def top_characters(tokens: Tokens, found: RepeatedNGrams) -> Values:
    """(texts,) int64: characters of the most frequent n-gram, with single spaces, times how often it comes.

    Of equally frequent ones that which comes first counts, as in datatrove's `find_top_duplicate`: where no n-gram
    comes twice, it is the first of the text. Zero for a text of fewer than n words.
    """
    n = found.n
    long_enough = np.flatnonzero(np.diff(tokens.word_starts) >= n)
    place = np.zeros(len(tokens.texts), np.int64)
    times = np.zeros(len(tokens.texts), np.int64)
    place[long_enough] = tokens.word_starts[long_enough]
    times[long_enough] = 1
    order = np.lexsort((-found.firsts, found.sizes))  # the best last: of several values the last one is kept
    text = tokens.text_of_word[found.firsts[order]]
    place[text] = found.firsts[order]
    times[text] = found.sizes[order]
    ends = np.concatenate([[0], np.cumsum(tokens.word_lengths)])
    characters: Values = (ends[np.minimum(place + n, len(ends) - 1)] - ends[place] + n - 1) * times
    return characters


def _repeated(n: int, places: Values, keys: Values) -> RepeatedNGrams:
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    number = np.cumsum(np.concatenate([[0], ordered[1:] != ordered[:-1]])[: len(keys)])
    sizes = np.bincount(number)
    renumbered = np.where(sizes > 1, np.cumsum(sizes > 1) - 1, -1)
    groups = np.empty(len(keys), np.int64)
    groups[order] = renumbered[number]
    again = np.flatnonzero(groups >= 0)
    places, groups, sizes = places[again], groups[again], sizes[sizes > 1]
    firsts = np.empty(len(sizes), np.int64)
    firsts[groups[::-1]] = places[::-1]
    return RepeatedNGrams(n, places, groups, sizes, firsts)
