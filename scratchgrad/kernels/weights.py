"""What kernels derive from weights, such as copies in bf16, is made once while the weights stay as they are."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from scratchgrad.backend import Array

Derived = dict[Any, tuple[Array, Any]]
_derived: Derived | None = None


@contextmanager
def fixed_weights(kept: Derived | None = None) -> Iterator[None]:
    """Inside, no weight changes: what kernels derive from one is made once and kept to the end.

    The trainer computes all gradients of a step in it. An optimizer's step belongs outside. Without it everything is
    right, too, and made anew each time. kept: a dictionary that several such blocks share, if no weight changes
    between them.
    """
    global _derived
    before = _derived
    if kept is not None:
        _derived = kept
    elif before is None:
        _derived = {}
    try:
        yield
    finally:
        _derived = before


def are_fixed() -> bool:
    return _derived is not None


def derived(weight: Array, make: Callable[[Array], Any]) -> Any:
    """make(weight): the one of before, where weights are fixed and it was made already."""
    if _derived is None:
        return make(weight)
    key = make, weight.ctypes.data, weight.shape, weight.strides
    if key not in _derived:
        _derived[key] = weight, make(weight)  # the weight is held, so that no other array takes its place in memory
    return _derived[key][1]
