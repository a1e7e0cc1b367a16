"""Sums in one fixed binary tree, whoever holds which leaves.

Floating-point addition does not associate, so a sum has the same bits everywhere only if it is bracketed the same way
everywhere: ((0 + 1) + (2 + 3)) + ((4 + 5) + (6 + 7)). A subtree is a range of leaves whose start is a multiple of its
length, a power of two. Leaves that are missing at the end are left out: a sum without a neighbour passes on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np

from scratchgrad.backend import Array, device_of
from scratchgrad.parallel.communicator import Communicator, Values, checked_sizes, split_ranges
from scratchgrad.threads import parallel_map, tiles

TILE = 1 << 16  # elements


class TreeSum:
    """The sum of leaves that are added one after another, the first being number `first` of the tree.

    Each leaf is a list of arrays, of the same shapes in each; a sum owns what it is given, and adds in place. It keeps
    partial sums like the digits of a binary counter: the largest subtrees that the leaves so far make up.
    """

    def __init__(self, first: int = 0) -> None:
        self._next = first
        self._subtrees: list[tuple[range, list[Array]]] = []

    def add(self, arrays: list[Array], count: int = 1) -> None:
        """Add the next leaf, or a subtree of the next `count` leaves."""
        leaves, total = range(self._next, self._next + count), arrays
        self._next = leaves.stop
        while self._subtrees and _are_siblings(self._subtrees[-1][0], leaves):
            before, left = self._subtrees.pop()
            _add(left, total)
            leaves, total = range(before.start, leaves.stop), left
        self._subtrees.append((leaves, total))

    def subtotals(self) -> list[list[Array]]:
        """The sums of the largest subtrees, in order of their leaves; it is empty afterwards."""
        found = [total for _, total in self._subtrees]
        self._subtrees.clear()
        return found

    def total(self) -> list[Array]:
        """The sum, once the last leaf has been added; it is empty afterwards. ValueError if the first are missing."""
        if not self._subtrees or self._subtrees[0][0].start != 0:
            raise ValueError("a sum whose first leaves are missing is only a part of the tree's")
        *larger, total = self.subtotals()
        for left in reversed(larger):
            _add(left, total)
            total = left
        return total


def _are_siblings(left: range, right: range) -> bool:
    return len(left) == len(right) and left.start % (2 * len(left)) == 0


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


def tree_sum(values: Sequence[Any]) -> Any:
    """The same tree over values that are not changed. ValueError if there are none."""
    if not len(values):
        raise ValueError("tree_sum() of no values")
    while len(values) > 1:
        odd = values[len(values) // 2 * 2 :]
        values = [*(left + right for left, right in zip(values[::2], values[1::2], strict=False)), *odd]
    return values[0]


@dataclass(frozen=True)
class ReductionTree:
    """Who holds which of a tree's leaves, and who joins what: the sum has the same bits on any number of ranks.

    Each rank holds a run of neighbouring leaves, and adds them up as far as the tree lets it (`TreeSum`). What is left
    are the joins of subtrees of different ranks. Every rank makes all of them, for its own part of the elements.

    ValueError unless every rank has a leaf.
    """

    leaves: int
    ranks: int

    def __post_init__(self) -> None:
        if not 1 <= self.ranks <= self.leaves:
            raise ValueError(f"{self.leaves} leaves for {self.ranks} ranks: every rank needs one")

    def leaves_of(self, rank: int) -> range:
        """The rank's leaves: those of two ranks differ in number by one at most."""
        return split_ranges(self.leaves, self.ranks)[rank]

    def subtrees_of(self, rank: int) -> list[range]:
        """The leaves of the subtrees that the rank adds up by itself."""
        leaves, found = self.leaves_of(rank), []
        while leaves:
            largest = 1 << (len(leaves).bit_length() - 1)
            count = min(largest, leaves.start & -leaves.start or largest)
            found.append(leaves[:count])
            leaves = leaves[count:]
        return found

    def join(self, subtotals: Sequence[Sequence[Array]]) -> Array:
        """The whole sum, of all ranks' subtotals: subtotals[rank][i] is that of subtrees_of(rank)[i]. Adds in place."""
        whole = TreeSum()
        for rank, sums in enumerate(subtotals):
            for leaves, subtotal in zip(self.subtrees_of(rank), sums, strict=True):
                whole.add([subtotal], len(leaves))
        return whole.total()[0]

    def reduce_scatter(
        self, subtotals: Sequence[Values], comm: Communicator, split_sizes: Sequence[int] | None = None
    ) -> Values:
        """This rank's part of the sum, along the first axis.

        subtotals: this rank's, in the order of `subtrees_of`, all of one shape. split_sizes: as in Communicator.
        """
        own = self.subtrees_of(comm.rank)
        if len(subtotals) != len(own):
            raise ValueError(f"{len(subtotals)} subtotals of {len(own)} subtrees")
        cuts = np.cumsum(checked_sizes(subtotals[0], split_sizes, comm.size))[:-1].tolist()
        nothing = subtotals[0][:0]
        gathered: list[list[Values]] = [[] for _ in range(comm.size)]
        for turn in range(max(len(self.subtrees_of(rank)) for rank in range(comm.size))):
            whole = subtotals[turn] if turn < len(own) else nothing
            parts = np.split(whole, cuts) if turn < len(own) else [nothing] * comm.size
            for rank, part in enumerate(comm.all_to_all(parts)):
                if turn < len(self.subtrees_of(rank)):
                    gathered[rank].append(part)
        total: Values = self.join(gathered)
        return total

    def all_reduce(self, subtotals: Sequence[Values], comm: Communicator) -> Values:
        """The sum on every rank, of subtotals as in `reduce_scatter`, which it may change.

        Where ranks and leaves are powers of two, each rank has one subtree, and the ranks pair up as the tree does.
        """
        if _is_power_of_two(self.ranks) and _is_power_of_two(self.leaves):
            (total,) = subtotals
            comm.all_reduce(total)
            return total
        return np.concatenate(comm.all_gatherv(self.reduce_scatter(subtotals, comm)))


def _is_power_of_two(number: int) -> bool:
    return number & (number - 1) == 0
