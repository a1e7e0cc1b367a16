"""What kernels derive from weights, such as copies in bf16, is made once while the weights stay as they are."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from scratchgrad.backend import Array

_derived: dict[Any, tuple[Array, Any]] | None = None


@contextmanager
def fixed_weights() -> Iterator[None]:
    """Inside, no weight changes: what kernels derive from one is made once and kept to the end.

    The trainer computes all gradients of a step in it. An optimizer's step belongs outside. Without it everything is
    right, too, and made anew each time.
    """
    global _derived
    before = _derived
    _derived = {} if before is None else before
    try:
        yield
    finally:
        _derived = before


def derived(weight: Array, make: Callable[[Array], Any]) -> Any:
    """make(weight): the one of before, where weights are fixed and it was made already."""
    if _derived is None:
        return make(weight)
    key = make, weight.ctypes.data, weight.shape, weight.strides
    if key not in _derived:
        _derived[key] = weight, make(weight)  # the weight is held, so that no other array takes its place in memory
    return _derived[key][1]
