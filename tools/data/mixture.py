"""Several sources mixed by weights: which of them a row comes from is a function of the seed and its number alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from functools import lru_cache
from typing import Any

import numpy as np

from scratchgrad.errors import UserError
from scratchgrad.random import Purpose, generator

LARGEST_BLOCK = 1 << 20  # rows


class Mixture:
    """Rows of sources in the ratio of their weights: exactly so in each block of rows, in an order that is drawn anew.

    weights: positive numbers, in any unit; 3, 1 and 0.75, 0.25 are the same. Decimals are taken as they are written.
    A block has as many rows as the weights have parts when they are whole numbers: 4 for these. So there is nothing to
    restore in a run that is resumed, and it does not matter which rank asks.
    """

    def __init__(self, weights: Sequence[float], seed: int) -> None:
        parts = _parts(weights)
        self._seed, self._counts, self._block = seed, parts, sum(parts)
        self._order = lru_cache(maxsize=4)(self._draw)

    def place(self, row: int) -> tuple[int, int]:
        """The source that a row comes from, and the number of the row there: each source gives its rows 0, 1, 2, ..."""
        block, place = divmod(row, self._block)
        sources, numbers = self._order(block)
        source = int(sources[place])
        return source, block * self._counts[source] + int(numbers[place])

    def _draw(self, block: int) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        """Of each row of the block its source, and how many rows of that source come before it in the block."""
        rng = generator(self._seed, Purpose.MIXTURE, step=block)
        sources = rng.permutation(np.repeat(np.arange(len(self._counts)), self._counts))
        numbers = np.empty_like(sources)
        for source, count in enumerate(self._counts):
            numbers[sources == source] = np.arange(count)
        return sources, numbers


def _parts(weights: Sequence[float]) -> list[int]:
    """The smallest whole numbers in the ratio of the weights."""
    if not weights or not all(math.isfinite(weight) and weight > 0 for weight in weights):
        raise UserError(f"weights of a mixture are numbers above 0, one for each source; they are {list(weights)}")
    exact = [Fraction(str(weight)) for weight in weights]
    common = math.lcm(*(weight.denominator for weight in exact))
    whole = [int(weight * common) for weight in exact]
    parts = [part // math.gcd(*whole) for part in whole]
    if sum(parts) > LARGEST_BLOCK:
        raise UserError(f"the weights {list(weights)} of a mixture have too many digits: write them with fewer")
    return parts
