"""Sums in one fixed binary tree, whoever holds which leaves.

Floating-point addition does not associate, so a sum has the same bits everywhere only if it is bracketed the same way
everywhere. K leaves (a power of two) are bracketed as ((0 + 1) + (2 + 3)) + ((4 + 5) + (6 + 7)). A rank that holds
neighbouring leaves adds up its subtree; ranks then meet their neighbours at distance 1, 2, 4.
"""

from __future__ import annotations

from itertools import chain
from typing import Any

from scratchgrad.backend import Array, device_of
from scratchgrad.threads import parallel_map, tiles

TILE = 1 << 16  # elements


class TreeSum:
    """The sum of a rank's microbatches, in the order they are added: partial sums like the digits of a binary counter.

    A microbatch is a list of arrays, of the same shapes in each. It owns what it is given, and adds in place.
    """

    def __init__(self) -> None:
        self._partial: list[tuple[int, list[Array]]] = []  # (how many microbatches, their sums), from many to few

    def add(self, microbatch: list[Array]) -> None:
        count, total = 1, microbatch
        while self._partial and self._partial[-1][0] == count:
            _, left = self._partial.pop()
            _add(left, total)
            count, total = 2 * count, left
        self._partial.append((count, total))

    def total(self) -> list[Array]:
        """The sums, once a power of two of microbatches has been added."""
        if len(self._partial) != 1:
            raise ValueError("the number of microbatches that were added is not a power of two")
        return self._partial.pop()[1]


def _add(left: list[Array], right: list[Array]) -> None:
    """Each array of left += that of right: on the CPU in tiles of rows, on all threads."""

    def of_tile(pair: tuple[Array, Array]) -> None:
        total, piece = pair
        total += piece

    parallel_map(of_tile, chain.from_iterable(map(_tiles, left, right)))


def _tiles(left: Array, right: Array) -> list[tuple[Array, Array]]:
    if left.ndim == 0 or device_of(left) != "cpu":
        return [(left, right)]
    return [(left[tile], right[tile]) for tile in tiles(len(left), max(1, TILE * len(left) // max(1, left.size)))]


def tree_sum(values: list[Any]) -> Any:
    """The same tree over a list whose length is a power of two."""
    while len(values) > 1:
        values = [left + right for left, right in zip(values[::2], values[1::2], strict=True)]
    return values[0]
