"""Ops that add elements up."""

import math

from scratchgrad.autograd import Backward
from scratchgrad.backend import Array, array_module
from scratchgrad.tensor import op

Axis = int | tuple[int, ...] | None


@op
def sum(x: Array, *, axis: Axis = None, keepdims: bool = False) -> tuple[Array, Backward]:
    """The sum over `axis`: one, several, or all."""
    return x.sum(axis=axis, keepdims=keepdims), _stretch_back(x, axis, keepdims)


@op
def mean(x: Array, *, axis: Axis = None, keepdims: bool = False) -> tuple[Array, Backward]:
    """The mean over `axis`: one, several, or all."""
    stretch = _stretch_back(x, axis, keepdims)
    out = x.mean(axis=axis, keepdims=keepdims)
    share = math.prod(out.shape) / x.size if x.size else 1.0
    return out, lambda grad: stretch(grad * share)


def _stretch_back(x: Array, axis: Axis, keepdims: bool) -> Backward:
    """Every element that was added gets the gradient of the sum."""
    shape, xp = x.shape, array_module(x)
    axes = range(x.ndim) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    kept = list(shape)
    for position in axes:
        kept[position] = 1

    def backward(grad: Array) -> tuple[Array]:
        return (xp.broadcast_to(grad if keepdims else grad.reshape(kept), shape),)

    return backward
