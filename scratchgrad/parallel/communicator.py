"""What processes that compute together can do with one another, and the simplest case of it: a world of one."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NoReturn, TypeVar

import numpy as np

Values = np.ndarray[Any, Any]
T = TypeVar("T")
LARGEST_VALUE = 1 << 20  # bytes of JSON


class Communicator:
    """The world of a process that nobody launched with others. `MpiCommunicator` is the same for several.

    rank of size; local_rank of local_size: among the ranks on this machine. All ranks of a group call its collectives
    in the same order. Arrays are NumPy's, of any shape and dtype, contiguous or not; all ranks give the same dtype, and
    the same shape but where lengths may differ. What is returned is a fresh array.
    """

    rank, size, local_rank, local_size = 0, 1, 0, 1

    def __repr__(self) -> str:
        return f"{type(self).__name__}(rank={self.rank}, size={self.size})"

    def all_reduce(self, array: Values) -> None:
        """Replace an array by its sum over all ranks, in place: the same bits on every rank.

        Added in the binary tree of `tree_sum`: neighbours pair up, then pairs with pairs; an odd one passes on.
        """

    def reduce_scatter(self, array: Values, split_sizes: Sequence[int] | None = None) -> Values:
        """This rank's part, along the first axis, of the sum of an array over all ranks; the bits of `all_reduce`.

        split_sizes: rows of the part of each rank; by default as `split_ranges` cuts them, evenly.
        """
        checked_sizes(array, split_sizes, self.size)
        return array.copy()

    def all_gather(self, array: Values) -> Values:
        """Every rank's array, on every rank: (size, *shape). ValueError where their sizes differ."""
        return array[None].copy()

    def all_gatherv(self, array: Values) -> list[Values]:
        """Every rank's array, by rank, on every rank. Their first axes may differ in length."""
        checked_parts([array], 1)
        return [array.copy()]

    def all_to_all(self, parts: Sequence[Values]) -> list[Values]:
        """parts[i] goes to rank i; returns what came from each rank. Their first axes may differ in length."""
        checked_parts(parts, self.size)
        return [parts[0].copy()]

    def broadcast(self, value: T) -> T:
        """Rank 0's value on every rank, as JSON gives it back: a tuple becomes a list.

        For settings and names. TypeError for what JSON cannot hold, ValueError for more than a mebibyte.
        """
        result: T = json.loads(encoded(value))
        return result

    def broadcast_array(self, array: Values, root: int = 0) -> None:
        """Fill every rank's array with that of `root`, in place."""
        self._check_rank(root)

    def send(self, array: Values, dest: int) -> None:
        """Send an array to another rank, which calls `recv`; may wait for that. ValueError where dest is none."""
        self._check_rank(dest, is_other=True)

    def recv(self, array: Values, source: int) -> None:
        """Fill an array with what `source` sends, in the order that it sends.

        ValueError if source is no other rank, or sends another number of bytes than the array holds.
        """
        self._check_rank(source, is_other=True)

    def sendrecv(self, array: Values, dest: int, received: Values, source: int) -> None:
        """Send one array and fill another at the same time, as rings and pipelines need: neither waits for the other.

        dest and source may be this rank itself.
        """
        self._check_rank(dest)
        self._check_rank(source)
        received[...] = array

    def barrier(self) -> None:
        """Wait until all ranks are here."""

    def split(self, color: int | None, key: int = 0) -> Communicator | None:
        """The group of the ranks that give the same color, ordered by key, then by rank. None for the color None."""
        return None if color is None else Communicator()

    def abort(self, code: int) -> NoReturn:
        """End the whole job now, whatever the group."""
        os._exit(code)

    def _check_rank(self, rank: int, is_other: bool = False) -> None:
        if not 0 <= rank < self.size or (is_other and rank == self.rank):
            raise ValueError(
                f"rank {self.rank} of {self.size} cannot reach rank {rank}: there is no other of that number"
            )


def split_ranges(length: int, parts: int) -> list[range]:
    """range(length) in neighbouring parts that differ by one at most, the longer ones first, as numpy.array_split."""
    share, longer = divmod(length, parts)
    starts = [part * share + min(part, longer) for part in range(parts + 1)]
    return [range(start, stop) for start, stop in pairwise(starts)]


def checked_sizes(array: Values, split_sizes: Sequence[int] | None, ranks: int) -> list[int]:
    """How many rows of `array` each rank gets. ValueError where they are not as many as it has."""
    if array.ndim == 0:
        raise ValueError("an array without axes has no rows to share; reshape it to (1,)")
    sizes = [len(part) for part in split_ranges(len(array), ranks)] if split_sizes is None else list(split_sizes)
    if len(sizes) != ranks or sum(sizes) != len(array) or min(sizes) < 0:
        raise ValueError(f"split_sizes {sizes} do not share {len(array)} rows among {ranks} ranks")
    return sizes


def checked_parts(parts: Sequence[Values], ranks: int) -> None:
    """ValueError unless there is a part for each rank, of one dtype, and of one shape but for the first axis."""
    if len(parts) != ranks:
        raise ValueError(f"{len(parts)} parts for {ranks} ranks: each rank gets one, which may be empty")
    if any(part.ndim == 0 or part.shape[1:] != parts[0].shape[1:] or part.dtype != parts[0].dtype for part in parts):
        described = ", ".join(f"{part.shape} {part.dtype}" for part in parts)
        raise ValueError(f"parts of {described}: they may differ in the length of their first axis only")


def encoded(value: Any) -> bytes:
    """The value as JSON. ValueError where that is large: arrays have `broadcast_array`."""
    text = json.dumps(value).encode()
    if len(text) > LARGEST_VALUE:
        raise ValueError(f"broadcast() of {len(text):,} bytes, more than {LARGEST_VALUE:,}; use broadcast_array()")
    return text
