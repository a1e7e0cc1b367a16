"""MinHash with locality-sensitive hashing: which texts have many runs of words in common, without comparing all.

Broder, "On the resemblance and containment of documents" (1997); bands of rows as in Leskovec, Rajaraman and Ullman,
"Mining of Massive Datasets", section 3.4. Two texts whose sets of shingles have the Jaccard similarity s agree in at
least one of b bands of r rows with the probability 1 - (1 - s^r)^b.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from scratchgrad.tools.curation.hashes import BASE, Values, mixed

TILE = 1 << 16  # shingles that are hashed at once: they stay in a core's cache


def permutations(count: int) -> tuple[Values, Values]:
    """(count,) uint64 twice: a and b of the hash functions a x + b modulo 2^64, a odd; always the same."""
    numbers = np.arange(2 * count, dtype=np.uint64)
    return mixed(numbers[:count], seed=1) | np.uint64(1), mixed(numbers[count:], seed=2)


def signatures(shingles: Values, starts: Values, count: int) -> Values:
    """(texts, count) uint64: of each text, and of each hash function, the smallest hash of its shingles.

    shingles: (shingles,) uint64 of all texts, those of each from one of `starts`, (texts + 1,), to the next. A text
    without any has the largest numbers.
    """
    signed = np.full((len(starts) - 1, count), np.iinfo(np.uint64).max, np.uint64)
    factors, offsets = permutations(count)
    for first, last in _tiles(starts):
        low = starts[first]
        part = shingles[low : starts[last]]
        filled = np.flatnonzero(np.diff(starts[first : last + 1])) + first
        if not len(part):
            continue
        where = starts[filled] - low
        hashed = np.empty_like(part)
        for number in range(count):
            np.multiply(part, factors[number], out=hashed)
            hashed += offsets[number]
            signed[filled, number] = np.minimum.reduceat(hashed, where)
    return signed


def band_keys(signed: Values, bands: int) -> Values:
    """(texts, bands) uint64 of (texts, bands * rows): equal for texts that agree in all rows of a band."""
    rows = signed.reshape(len(signed), bands, signed.shape[1] // bands)
    keys = np.broadcast_to(np.arange(bands, dtype=np.uint64), rows.shape[:2]).copy()
    for row in range(rows.shape[2]):
        keys *= BASE
        keys = mixed(keys + rows[:, :, row])
    return keys


def match_probability(similarity: Any, bands: int, rows: int) -> Any:
    """That two texts of this Jaccard similarity agree in a band."""
    return 1 - (1 - similarity**rows) ** bands


def jaccard(one: Values, others: Values, starts: Values) -> Values:
    """(others,) float64: |A & B| / |A | B| of a set and each of several, all sorted; 0 where both are empty.

    others: the sets in one row, each from one of `starts`, (others + 1,), to the next.
    """
    place = np.searchsorted(one, others)
    place[place == len(one)] = 0
    common = np.concatenate([[0], np.cumsum(one[place] == others if len(one) else np.zeros(len(others), bool))])
    shared = common[starts[1:]] - common[starts[:-1]]
    whole = len(one) + np.diff(starts) - shared
    similarity: Values = np.divide(shared, whole, out=np.zeros(len(whole)), where=whole > 0)
    return similarity


def _tiles(starts: Values) -> list[tuple[int, int]]:
    """Runs of texts with about `TILE` shingles, one at least."""
    tiles, first, texts = [], 0, len(starts) - 1
    while first < texts:
        last = int(np.searchsorted(starts, starts[first] + TILE, side="right")) - 1
        last = min(max(last, first + 1), texts)
        tiles.append((first, last))
        first = last
    return tiles
