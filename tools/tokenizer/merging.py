"""Byte-pair encoding of one piece: merge the neighbours that were learnt first, the leftmost of two such pairs."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterable, Sequence

Pair = tuple[int, int]
Merge = tuple[int, int, int]  # ids: left, right, merged

LONG = 100  # ids: up to here looking through all pairs beats a heap
NEVER = 1 << 62  # the rank of a pair that is not merged


class Merger:
    """merges: (left, right, merged) in the order they were learnt; `ranks`, when two of them may be equally early."""

    def __init__(self, merges: Sequence[Merge] = (), ranks: Iterable[int] | None = None) -> None:
        self._rank: dict[Pair, int] = {}
        self._merged: dict[Pair, int] = {}
        for merge, rank in zip(merges, itertools.count() if ranks is None else ranks, strict=ranks is not None):
            self.learn(merge, rank)

    def learn(self, merge: Merge, rank: int) -> None:
        pair = merge[:2]
        self._rank[pair], self._merged[pair] = rank, merge[2]

    def merge(self, ids: list[int]) -> list[int]:
        """The ids that are left when nothing can be merged any more. `ids` is used up."""
        return self._by_scan(ids) if len(ids) <= LONG else self._by_heap(ids)

    def steps(self, ids: list[int]) -> Iterable[list[int]]:
        """The ids as they are at first and after each merge."""
        yield list(ids)
        while ranks := [self._rank.get(pair, NEVER) for pair in itertools.pairwise(ids)]:
            best = min(ranks)
            if best == NEVER:
                break
            i = ranks.index(best)
            ids = [*ids[:i], self._merged[ids[i], ids[i + 1]], *ids[i + 2 :]]
            yield ids

    def _by_scan(self, ids: list[int]) -> list[int]:
        rank = self._rank.get
        ranks = [rank(pair, NEVER) for pair in itertools.pairwise(ids)]
        while ranks:
            best = min(ranks)
            if best == NEVER:
                break
            i = ranks.index(best)
            ids[i] = self._merged[ids[i], ids[i + 1]]
            del ids[i + 1], ranks[i]
            if i < len(ranks):
                ranks[i] = rank((ids[i], ids[i + 1]), NEVER)
            if i > 0:
                ranks[i - 1] = rank((ids[i - 1], ids[i]), NEVER)
        return ids

    def _by_heap(self, ids: list[int]) -> list[int]:
        """A linked list of ids and a heap of places: n log n, for pieces that someone made long.

        A heap entry is rank * size + place, one number that sorts by rank and then by place. An id that was merged into
        the one on its left is -1; an entry whose neighbours have changed since is passed over.
        """
        rank, size = self._rank.get, len(ids)
        after, before = [*range(1, size), -1], list(range(-1, size - 1))
        heap = [found * size + i for i, pair in enumerate(itertools.pairwise(ids)) if (found := rank(pair, -1)) >= 0]
        heapq.heapify(heap)
        while heap:
            best, i = divmod(heapq.heappop(heap), size)
            j = after[i]
            if j < 0 or ids[i] < 0:
                continue
            pair = (ids[i], ids[j])
            if rank(pair) != best:
                continue
            ids[i] = merged = self._merged[pair]
            ids[j] = -1
            right = after[i] = after[j]
            if right >= 0:
                before[right] = i
                found = rank((merged, ids[right]), -1)
                if found >= 0:
                    heapq.heappush(heap, found * size + i)
            left = before[i]
            if left >= 0:
                found = rank((ids[left], merged), -1)
                if found >= 0:
                    heapq.heappush(heap, found * size + left)
        return [token for token in ids if token >= 0]


def recover_merges(spellings: Iterable[tuple[list[int], int, int]]) -> tuple[list[Merge], list[int], list[int]]:
    """The merges of a vocabulary that keeps none, but ranks its tokens; (merges, their ranks, tokens made by none).

    spellings: (the ids of a token's bytes or characters, its id, its rank) for every token longer than one. Such a
    vocabulary merges any neighbours that spell a token. But whatever spells a token inside a text was merged there as
    it would be alone, since nothing crossed its borders; and alone it always ends in the same last two parts. So one
    pair for each token is enough, and the ids are the same. A token whose parts never come down to two is never made.
    """
    merger = Merger()
    learnt: list[tuple[int, Merge]] = []
    unmade = []
    for symbols, token, rank in sorted(spellings, key=lambda spelling: len(spelling[0])):
        parts = merger.merge(list(symbols))
        if len(parts) == 2:
            merger.learn((parts[0], parts[1], token), rank)
            learnt.append((rank, (parts[0], parts[1], token)))
        else:
            unmade.append(token)
    learnt.sort()
    return [merge for _, merge in learnt], [rank for rank, _ in learnt], unmade
