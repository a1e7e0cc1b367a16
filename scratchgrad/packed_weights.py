"""Weights in another order or another dtype, as kernels read them: packed once while the weights stay as they are."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from scratchgrad.backend import Array

PackedWeights = dict[Any, tuple[Array, Any]]  # by way of packing and place in memory: the weight, and it packed
_kept: ContextVar[PackedWeights | None] = ContextVar("packed_weights", default=None)


@contextmanager
def fixed_weights(kept: PackedWeights | None = None) -> Iterator[None]:
    """Inside, in this thread, no weight changes: what kernels pack is packed once and kept to the end.

    The trainer computes all gradients of a step in it. An optimizer's step belongs outside. Without it everything is
    right, too, and packed anew each time. kept: a dictionary that several such blocks share, if no weight changes
    between them; without one, a block inside another shares that one's.
    """
    outer = _kept.get()
    _kept.set(kept if kept is not None else {} if outer is None else outer)
    try:
        yield
    finally:
        _kept.set(outer)


def are_fixed() -> bool:
    return _kept.get() is not None


def packed(weight: Array, pack: Callable[[Array], Any]) -> Any:
    """pack(weight): the one of before, where weights are fixed and it was packed already."""
    kept = _kept.get()
    if kept is None:
        return pack(weight)
    key = pack, weight.ctypes.data, weight.shape, weight.strides
    if key not in kept:
        kept[key] = weight, pack(weight)  # the weight is held, so that no other array takes its place in memory
    return kept[key][1]
