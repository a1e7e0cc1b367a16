"""How often each piece occurs in text of any size: counted shard by shard in processes, in bounded memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import NamedTuple

from scratchgrad.tools.processes import map_in_processes
from scratchgrad.tools.tokenizer.base import encodable
from scratchgrad.tools.tokenizer.blocks import blocks_of_text
from scratchgrad.tools.tokenizer.patterns import cutter

SHARD = 4 << 20  # characters, at least, that a worker counts at a time
LONGEST_PIECE = 512  # characters: a longer one is data in disguise (a base64 block, a ruler) and is not learnt from
MOST_PIECES = 1_000_000  # different ones, some 0.7 GB with all that is known of them while merges are learnt


class PieceCounts(NamedTuple):
    """counts: of each piece that is learnt from. text_bytes: of all text that was read, in UTF-8."""

    counts: Counter[str]
    text_bytes: int

    @property
    def counted_bytes(self) -> int:
        """Of the text that `counts` stands for: the rest was in pieces too long, or too rare to be kept."""
        return sum(len(piece.encode()) * count for piece, count in self.counts.items())


def count_pieces(
    texts: Iterable[str],
    pattern: str,
    workers: int = 1,
    *,
    most: int = MOST_PIECES,
    shard: int = SHARD,
    progress: Callable[[int], object] | None = None,
) -> PieceCounts:
    """Count with `workers` processes; `progress` hears how many bytes are done.

    The result depends on the text alone. Shards are cut by the text and added in its order. When there are more than
    `most` different pieces after a shard, the rarest go: all that occurred once so far, then twice, and so on until at
    most half as many are left.
    """
    count = partial(_count, pattern)
    cutter(pattern)  # a bad pattern is told here, not by a worker
    total: Counter[str] = Counter()
    size = 0
    shards = _shards(texts, shard)
    for counted in map_in_processes(count, shards, workers, 1) if workers > 1 else map(count, shards):
        total.update(counted.counts)
        if len(total) > most:
            total = _without_the_rarest(total, most // 2)
        size += counted.text_bytes
        if progress is not None:
            progress(size)
    return PieceCounts(total, size)


def _shards(texts: Iterable[str], size: int) -> Iterator[list[str]]:
    """Blocks of texts, together at least `size` characters; a block is never in two shards."""
    held: list[str] = []
    length = 0
    for text in texts:
        for block in blocks_of_text(text):
            held.append(block)
            length += len(block)
            if length >= size:
                yield held
                held, length = [], 0
    if held:
        yield held


def _count(pattern: str, shard: list[str]) -> PieceCounts:
    counts: Counter[str] = Counter()
    size = 0
    cut = cutter(pattern)
    for text in shard:
        text = encodable(text)
        size += len(text.encode())
        counts.update(cut(text))
    for piece in [piece for piece in counts if len(piece) > LONGEST_PIECE]:
        del counts[piece]
    return PieceCounts(counts, size)


def _without_the_rarest(counts: Counter[str], most: int) -> Counter[str]:
    floor = 0
    while len(counts) > most:
        floor += 1
        counts = Counter({piece: count for piece, count in counts.items() if count > floor})
    return counts
