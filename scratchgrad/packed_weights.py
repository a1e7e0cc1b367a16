"""Weights in another order or another dtype, as kernels read them: packed once while the weights stay as they are."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextvars import ContextVar
from typing import Any

import numpy as np

from scratchgrad.backend import Array
from scratchgrad.contexts import context
from scratchgrad.threads import parallel_map

WORDS = 64  # in a row of those whose sums tell whether a weight has changed


class PackedWeights:
    """pack(weight) for weights and ways to pack them, each made once. No weight may change."""

    def __init__(self) -> None:
        self._packed: dict[Any, tuple[Array, Any]] = {}

    def __len__(self) -> int:
        return len(self._packed)

    def get(self, weight: Array, pack: Callable[[Array], Any]) -> Any:
        key = pack, weight.ctypes.data, weight.shape, weight.strides
        if key not in self._packed:
            self._packed[key] = weight, pack(weight)  # the weight is held: no other array takes its place in memory
        return self._packed[key][1]


class PackedModel(PackedWeights):
    """The packed weights of one model, which stay for as long as the weights do.

    `keep(weights)` comes before they are used: it drops what was made of an array that is none of the model's any
    more, or that has other numbers now, whoever wrote them. Of other arrays nothing is kept.
    """

    def __init__(self) -> None:
        super().__init__()
        self._weights: dict[int, Array] = {}
        self._fingerprints: dict[int, bytes] = {}

    def keep(self, weights: Iterable[Array]) -> None:
        """These are the weights now, and do not change until the next call. Takes a pass over those that are packed."""
        self._weights = {id(weight): weight for weight in weights}
        known = [number for number in self._fingerprints if number in self._weights]
        now = parallel_map(lambda number: fingerprint(self._weights[number]), known)
        fresh = {n for n, print_ in zip(known, now, strict=True) if print_ == self._fingerprints[n]}
        self._packed = {key: packed for key, packed in self._packed.items() if key[1] in fresh}
        self._fingerprints = {number: self._fingerprints[number] for number in fresh}

    def drop(self) -> None:
        """Let go of everything that was packed, for its memory's sake."""
        self._packed, self._fingerprints = {}, {}

    def get(self, weight: Array, pack: Callable[[Array], Any]) -> Any:
        key = pack, id(weight)
        found = self._packed.get(key)
        if found is None:
            found = weight, pack(weight)
            if key[1] in self._weights:
                self._packed[key] = found
                if key[1] not in self._fingerprints:
                    self._fingerprints[key[1]] = fingerprint(weight)
        return found[1]


_kept: ContextVar[PackedWeights | None] = ContextVar("packed_weights", default=None)


@context
def fixed_weights(kept: PackedWeights | None = None) -> Iterator[None]:
    """Inside, in this thread, no weight changes: what kernels pack is packed once and kept to the end.

    The trainer computes all gradients of a step in it. An optimizer's step belongs outside. Without it everything is
    right, too, and packed anew each time. kept: what several such blocks share, if no weight changes between them;
    without it, a block inside another shares that one's.
    """
    outer = _kept.get()
    _kept.set(kept if kept is not None else PackedWeights() if outer is None else outer)
    try:
        yield
    finally:
        _kept.set(outer)


def are_fixed() -> bool:
    return _kept.get() is not None


def packed(weight: Array, pack: Callable[[Array], Any]) -> Any:
    """pack(weight): the one of before, where weights are fixed and it was packed already."""
    kept = _kept.get()
    return pack(weight) if kept is None else kept.get(weight, pack)


def fingerprint(array: Array) -> bytes:
    """Sums of the array's bits, along two axes: equal for equal arrays, and for hardly any others."""
    flat = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
    whole = flat.size // (8 * WORDS) * (8 * WORDS)
    words = flat[:whole].view(np.uint64).reshape(-1, WORDS)
    return b"".join(part.tobytes() for part in (words.sum(axis=0), words.sum(axis=1), flat[whole:]))
