"""Keys and values of the tokens that were read already, so that a new token costs one position and not all."""

from __future__ import annotations

from scratchgrad import Tensor
from scratchgrad.backend import Array, array_module


class LayerCache:
    """One layer's keys and values, in arrays (batch, group, capacity, width) that are made once and filled.

    memory: the keys and values of what cross-attention looks at, once it has made them.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity, self.length = capacity, 0
        self.memory: tuple[Tensor, Tensor] | None = None
        self._keys: Array = None
        self._values: Array = None

    def extend(self, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Append key and value (batch, group, time, width); all keys and all values so far, as views."""
        if self._keys is None:
            batch, groups, _, width = key.shape
            shape = (batch, groups, self.capacity, width)
            self._keys, self._values = (array_module(key.data).empty(shape, key.dtype) for _ in range(2))
        end = self.length + key.shape[2]
        if end > self.capacity:
            raise ValueError(f"the cache holds {self.capacity} tokens, and {end} were put into it")
        self._keys[:, :, self.length : end] = key.data
        self._values[:, :, self.length : end] = value.data
        self.length = end
        return Tensor(self._keys[:, :, :end]), Tensor(self._values[:, :, :end])


class Cache:
    """A LayerCache for each layer of a decoder. Use it inside `no_grad`: it keeps values, not their history."""

    def __init__(self, layers: int, capacity: int) -> None:
        self.layers = [LayerCache(capacity) for _ in range(layers)]

    @property
    def length(self) -> int:
        return self.layers[0].length
