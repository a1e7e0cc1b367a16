"""Several examples in one row: which of them stand together, decided once, so that every epoch has the same rows."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable, Sequence

import numpy as np

from scratchgrad.random import Purpose, generator
from scratchgrad.tools.data import TokenizedExample, TokenStore
from scratchgrad.train.batches import Array, Batch, Batches

Row = Sequence[int]  # the numbers of a store's examples


def best_fit(numbers: Sequence[int], lengths: Sequence[int], capacity: int) -> list[list[int]]:
    """Rows of examples `numbers`, whose lengths add up to `capacity` at most: the longest first, each into the fullest
    row that has room for it (best fit decreasing). lengths: of each, none above `capacity`.
    """
    rows: list[list[int]] = []
    room: list[tuple[int, int]] = []  # of each row that is not full what is left, and its number; in order
    for place in sorted(range(len(numbers)), key=lambda place: (-lengths[place], place)):
        at = bisect_left(room, (lengths[place], -1))
        if at == len(room):
            rows.append([])
            left, row = capacity, len(rows) - 1
        else:
            left, row = room.pop(at)
        rows[row].append(numbers[place])
        if left > lengths[place]:
            insort(room, (left - lengths[place], row))
    return rows


class PackedBatches(Batches):
    """Rows that are made of one example, or of several."""

    def __init__(
        self,
        stores: Sequence[TokenStore],
        rows: Sequence[Sequence[Row]],
        weights: Sequence[float],
        collate: Callable[[Sequence[Sequence[TokenizedExample]]], Batch],
        *,
        longest: int,
        seed: int,
    ) -> None:
        """rows: of each store, one or more. longest: of examples of more tokens only so many are read."""
        self._stores, self._of, self._collate, self._longest = stores, rows, collate, longest
        super().__init__([len(of_store) for of_store in rows], weights, seed)

    def rows(self, numbers: Sequence[int]) -> Batch:
        return self._made([self._place(number) for number in numbers])

    def num_tokens(self, numbers: Sequence[int]) -> int:
        return sum(self._size(*self._place(number)) for number in numbers)

    def sample(self, limit: int) -> Batch:
        places: list[tuple[int, int]] = []
        for source, (rows, share) in enumerate(zip(self._of, self._shares, strict=True)):
            total = sum(self._size(source, row) for row in range(len(rows)))
            count = max(1, min(len(rows), int(len(rows) * limit * share) // total))
            places += [(source, i * len(rows) // count) for i in range(count)]
        return self._made(places)

    def _size(self, source: int, row: int) -> int:
        offsets = self._stores[source].offsets
        return sum(min(int(offsets[i + 1] - offsets[i]), self._longest) for i in self._of[source][row])

    def _made(self, places: Sequence[tuple[int, int]]) -> Batch:
        return self._collate([
            [_cut(self._stores[source][example], self._longest) for example in self._of[source][row]]
            for source, row in places
        ])  # fmt: skip

    def _draw(self, source: int, epoch: int) -> Array:
        return generator(self._seed, Purpose.SHUFFLE, step=epoch, microbatch=source).permutation(self._counts[source])


def _cut(example: TokenizedExample, longest: int) -> TokenizedExample:
    return TokenizedExample(example.ids[:longest], np.asarray(example.is_target[:longest]))
