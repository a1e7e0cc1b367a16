"""Byte-pair encoding of one piece: always merge the pair that was learnt first, the leftmost if it occurs twice."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Sequence

LONG = 100  # bytes: up to here looking through all pairs beats a heap
NEVER = 1 << 62  # the rank of a pair that is not merged
CACHED_PIECES = 1 << 20


class Merger(dict[str, list[int]]):
    """piece -> ids, filled as pieces are met (`merger[piece]`), and emptied when it grows too large.

    byte_ids: the id of each of the 256 bytes. merges: (left id, right id, merged id) in the order they were learnt.
    """

    def __init__(self, byte_ids: Sequence[int], merges: Sequence[tuple[int, int, int]]) -> None:
        super().__init__()
        self._byte_ids = list(byte_ids)
        self._rank = {(left, right): rank for rank, (left, right, _) in enumerate(merges)}
        self._merged = [merged for _, _, merged in merges]

    def __missing__(self, piece: str) -> list[int]:
        ids = self.merge([self._byte_ids[byte] for byte in piece.encode()])
        if len(self) >= CACHED_PIECES:
            self.clear()
        self[piece] = ids
        return ids

    def __reduce__(self) -> tuple[type[Merger], tuple[list[int], list[tuple[int, int, int]]]]:
        merges = [(*pair, self._merged[rank]) for pair, rank in self._rank.items()]
        return type(self), (self._byte_ids, merges)

    def merge(self, ids: list[int]) -> list[int]:
        return self._by_scan(ids) if len(ids) <= LONG else self._by_heap(ids)

    def _by_scan(self, ids: list[int]) -> list[int]:
        rank = self._rank.get
        ranks = [rank(pair, NEVER) for pair in itertools.pairwise(ids)]
        while ranks:
            best = min(ranks)
            if best == NEVER:
                break
            i = ranks.index(best)
            ids[i : i + 2] = [self._merged[best]]
            del ranks[i]
            if i < len(ranks):
                ranks[i] = rank((ids[i], ids[i + 1]), NEVER)
            if i > 0:
                ranks[i - 1] = rank((ids[i - 1], ids[i]), NEVER)
        return ids

    def _by_heap(self, ids: list[int]) -> list[int]:
        """A linked list of ids and a heap of (rank, position): n log n, for pieces that someone made long."""
        rank = self._rank.get
        after = [*range(1, len(ids)), -1]
        before = list(range(-1, len(ids) - 1))
        heap = [(r, i) for i, pair in enumerate(itertools.pairwise(ids)) if (r := rank(pair, NEVER)) != NEVER]
        heapq.heapify(heap)
        while heap:
            best, i = heapq.heappop(heap)
            j = after[i]
            if j < 0 or ids[i] < 0 or rank((ids[i], ids[j]), NEVER) != best:
                continue  # one of the two was merged away since
            ids[i], ids[j] = self._merged[best], -1
            after[i] = after[j]
            if after[j] >= 0:
                before[after[j]] = i
            for left, right in ((before[i], i), (i, after[i])):
                if left >= 0 and right >= 0 and (r := rank((ids[left], ids[right]), NEVER)) != NEVER:
                    heapq.heappush(heap, (r, left))
        return [token for token in ids if token >= 0]
