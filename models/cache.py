"""Keys and values of the tokens that were read already, so that a new token costs one position and not all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from scratchgrad import Tensor
from scratchgrad.backend import Array, array_module
from scratchgrad.packed_weights import PackedWeights

Integers = np.ndarray[Any, np.dtype[np.int64]]


class Memory(NamedTuple):
    """What cross-attention made of the states that it looks at: (row, head, length, width), and who may be seen."""

    key: Tensor
    value: Tensor
    mask: Tensor | None  # booleans (row, 1, 1, length)


class LayerCache:
    """One layer's keys and values, in arrays (row, group, capacity, width) that are made once and filled.

    memory: the keys and values of what cross-attention looks at, once it has made them.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.first, self.end, self.rows = 0, 0, 0  # what is in use: the columns first:end of the rows :rows
        self.memory: Memory | None = None
        self._keys: Array = None
        self._values: Array = None

    def extend(self, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Append key and value (row, group, time, width); all keys and all values so far, as views."""
        if self._keys is None:
            self.rows, groups, _, width = key.shape
            shape = (self.rows, groups, self.capacity, width)
            self._keys, self._values = (array_module(key.data).empty(shape, key.dtype) for _ in range(2))
        end = self.end + key.shape[2]
        if end > self.capacity:
            raise ValueError(f"the cache holds {self.capacity} tokens, and {end} were put into it")
        self._keys[: self.rows, :, self.end : end] = key.data
        self._values[: self.rows, :, self.end : end] = value.data
        self.end = end
        return self.filled()

    def filled(self) -> tuple[Tensor, Tensor]:
        """All keys and all values so far (row, group, time, width), as views."""
        place = np.s_[: self.rows, :, self.first : self.end]
        return Tensor(self._keys[place]), Tensor(self._values[place])

    def fill(self, layers: Sequence[LayerCache]) -> None:
        """Become the texts of `layers`, one each, all with their last token in the same column."""
        self.rows, self.end = len(layers), max(layer.end for layer in layers)
        for row, layer in enumerate(layers):
            key, value = (part.data for part in layer.filled())
            if self._keys is None:
                shape = (self.rows, key.shape[1], self.capacity, key.shape[3])
                self._keys, self._values = (array_module(key).empty(shape, key.dtype) for _ in range(2))
            start = self.end - layer.end
            for array, part in ((self._keys, key), (self._values, value)):
                array[row, :, :start] = 0  # is hidden, which is to be multiplied by 0, and NaN * 0 is not 0
                array[row, :, start : self.end] = part[0]
        self.memory = _together([layer.memory for layer in layers if layer.memory is not None])

    def move(self, moves: Sequence[tuple[int, int]], rows: int) -> None:
        """Copy the text of row b over that of row a, for every (a, b) in turn; then keep the first `rows` rows."""
        arrays = [self._keys[:, :, self.first : self.end], self._values[:, :, self.first : self.end]]
        for array in arrays:
            for to, origin in moves:
                array[to] = array[origin]
        self.rows = rows

    def move_memory(self, moves: Sequence[tuple[int, int]], rows: int) -> None:
        """As `move`, for what cross-attention looks at."""
        if self.memory is not None:
            key, value, mask = self.memory
            for part in (key, value) if mask is None else (key, value, mask):
                for to, origin in moves:
                    part.data[to] = part.data[origin]
            self.memory = Memory(key[:rows], value[:rows], None if mask is None else mask[:rows])


class Cache:
    """A LayerCache for each layer of a decoder. Use it inside `no_grad`: it keeps values, not their history.

    Each row is a text. All texts have their newest token in the same column, so that one more is one more column for
    all. `starts` says in which column each text begins; what stands before is hidden.
    """

    def __init__(self, layers: int, capacity: int) -> None:
        self.layers = [LayerCache(capacity) for _ in range(layers)]
        self.starts: Integers = np.zeros(1, np.int64)  # of all rows, where there is only one
        self._prompts: Integers = np.zeros(1, np.int64)  # which prompt a row goes on from
        self.derived: PackedWeights = {}  # by kernels; like keys and values, they are of the weights as they were

    @classmethod
    def joined(cls, caches: Sequence[Cache], room: int) -> Cache:
        """The texts of caches that hold one each, below each other, with room for `room` tokens more.

        A cache may stand there repeatedly; what these texts look at in cross-attention is then one and the same.
        """
        lengths = np.array([cache.length for cache in caches])
        joined = cls(len(caches[0].layers), int(lengths.max()) + room)
        for layer, *parts in zip(joined.layers, *(cache.layers for cache in caches), strict=True):
            layer.fill(parts)
        joined.starts = lengths.max() - lengths
        joined._prompts = np.array([caches.index(cache) for cache in caches])
        return joined

    def arrange(self, sources: Sequence[int]) -> None:
        """Row i becomes what row sources[i] is; there are then len(sources) rows. No more is copied than that needs.

        For a cache that was `joined`. Rows are copied in their order, so that none may be asked for that was
        overwritten before: ValueError.
        """
        moves = [(to, origin) for to, origin in enumerate(sources) if to != origin]
        if any(origin < to and sources[origin] != origin for to, origin in moves):
            raise ValueError(f"{list(sources)} asks for a row that another one was copied over before")
        others = [(to, origin) for to, origin in moves if self._prompts[to] != self._prompts[origin]]
        for layer in self.layers:
            layer.move(moves, len(sources))
            layer.move_memory(others, len(sources))
        self.starts, self._prompts = self.starts[sources], self._prompts[sources]
        for layer in self.layers:
            layer.first = int(self.starts.min())

    @property
    def length(self) -> int:
        """The number of tokens of the longest text."""
        return self.layers[0].end - self.layers[0].first

    def positions(self, count: int) -> Integers:
        """Where the next `count` tokens stand in their texts: (count,), or (row, count) where that differs."""
        columns = np.arange(self.layers[0].end, self.layers[0].end + count)
        return columns - self.starts[:, None] if self._differ else columns - self.starts[0]

    def mask(self, count: int) -> np.ndarray[Any, np.dtype[np.bool_]] | None:
        """Which keys belong to a text once `count` tokens have joined it: (row, 1, 1, length); None where all do."""
        columns = np.arange(self.layers[0].first, self.layers[0].end + count)
        return (columns >= self.starts[:, None])[:, None, None] if self._differ else None

    @property
    def _differ(self) -> bool:
        return bool((self.starts != self.starts[0]).any())


def _together(memories: Sequence[Memory]) -> Memory | None:
    """Memories of one text each, below each other, filled up to the length of the longest."""
    if not memories:
        return None
    lengths = [memory.key.shape[2] for memory in memories]
    first = memories[0].key.data
    xp = array_module(first)
    shape = (len(memories), first.shape[1], max(lengths), first.shape[3])
    key, value = (xp.zeros(shape, first.dtype) for _ in range(2))
    mask = xp.zeros((shape[0], 1, 1, shape[2]), bool)
    for row, (memory, length) in enumerate(zip(memories, lengths, strict=True)):
        key[row, :, :length], value[row, :, :length] = memory.key.data[0], memory.value.data[0]
        mask[row, ..., :length] = True if memory.mask is None else memory.mask.data[0]
    return Memory(Tensor(key), Tensor(value), None if bool(mask.all()) else Tensor(mask))
