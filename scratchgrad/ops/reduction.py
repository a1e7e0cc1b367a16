"""Ops that make one number of many. `axis` is one, several, or None for all; `keepdims` keeps them with length 1."""

import builtins
import math
from collections.abc import Callable

from numpy.lib.array_utils import normalize_axis_tuple

from scratchgrad.autograd import Backward
from scratchgrad.backend import Array, array_module, sum_over
from scratchgrad.dispatch import op

Axis = int | tuple[int, ...] | None


@op
def sum(x: Array, *, axis: Axis = None, keepdims: bool = False) -> tuple[Array, Backward]:
    stretch = stretching(x, axis)
    return sum_over(x, axis, keepdims), lambda grad: (stretch(grad),)


@op(takes="floats")
def mean(x: Array, *, axis: Axis = None, keepdims: bool = False) -> tuple[Array, Backward]:
    count, stretch = _count(x, axis), stretching(x, axis)
    return sum_over(x, axis, keepdims) / count, lambda grad: (stretch(grad / count),)


@op(takes="floats")
def var(x: Array, *, axis: Axis = None, keepdims: bool = False, ddof: int = 0) -> tuple[Array, Backward]:
    """The mean squared distance from the mean, with count - ddof in place of the count: NaN if that is not above 0."""
    count, stretch = _count(x, axis) - ddof, stretching(x, axis)
    centred = x - sum_over(x, axis, keepdims=True) / _count(x, axis)
    y = sum_over(centred * centred, axis, keepdims) / builtins.max(count, 0)
    return y, lambda grad: (stretch(grad * 2 / count) * centred,)


@op(takes="floats")
def std(x: Array, *, axis: Axis = None, keepdims: bool = False, ddof: int = 0) -> tuple[Array, Backward]:
    """The square root of the variance, NaN where that is; the gradient where it is 0 is 0."""
    count, stretch = _count(x, axis) - ddof, stretching(x, axis)
    centred = x - sum_over(x, axis, keepdims=True) / _count(x, axis)
    y = array_module(x).sqrt(sum_over(centred * centred, axis, keepdims) / builtins.max(count, 0))
    return y, lambda grad: (stretch(_over(grad / count, y)) * centred,)


@op(takes="floats")
def norm(x: Array, *, ord: float = 2, axis: Axis = None, keepdims: bool = False) -> tuple[Array, Backward]:
    """sum(|x|^ord)^(1/ord), by default the Euclidean length; the gradient where it is 0 is 0.

    inf and -inf: the largest and smallest |x|, whose gradient equal ones share; 0: how many are not 0.
    """
    if ord != 2:
        return _norm_of_order(x, ord, axis, keepdims)
    y, stretch = array_module(x).sqrt(sum_over(x * x, axis, keepdims)), stretching(x, axis)
    return y, lambda grad: (stretch(_over(grad, y)) * x,)


@op
def max(x: Array, *, axis: Axis = None, keepdims: bool = False) -> tuple[Array, Backward]:
    """The largest; several that are equal share the gradient evenly."""
    y = x.max(axis=axis, keepdims=keepdims)
    return y, lambda grad: (_shared(grad, x, y, axis),)


@op
def min(x: Array, *, axis: Axis = None, keepdims: bool = False) -> tuple[Array, Backward]:
    """The smallest; several that are equal share the gradient evenly."""
    y = x.min(axis=axis, keepdims=keepdims)
    return y, lambda grad: (_shared(grad, x, y, axis),)


@op
def prod(x: Array, *, axis: Axis = None, keepdims: bool = False) -> tuple[Array, Backward]:
    """The product. An element's gradient is the product of the others, which is right for zeros, too."""
    xp, axes, count, stretch = array_module(x), _axes(x, axis), _count(x, axis), stretching(x, axis)

    def backward(grad: Array) -> tuple[Array]:
        last = tuple(range(x.ndim - len(axes), x.ndim))
        moved = xp.moveaxis(x, axes, last)
        flat = moved.reshape(*moved.shape[: x.ndim - len(axes)], count)
        ones = xp.ones_like(flat[..., :1])
        before = xp.concatenate([ones, flat[..., :-1]], axis=-1).cumprod(axis=-1)
        after = xp.concatenate([ones, flat[..., :0:-1]], axis=-1).cumprod(axis=-1)[..., ::-1]
        return (stretch(grad) * xp.moveaxis((before * after).reshape(moved.shape), last, axes),)

    return x.prod(axis=axis, keepdims=keepdims), backward


@op
def argmax(x: Array, *, axis: int | None = None, keepdims: bool = False) -> tuple[Array, None]:
    """Where the first largest stands; with no axis, in the flattened array."""
    return array_module(x).argmax(x, axis=axis, keepdims=keepdims), None


@op
def argmin(x: Array, *, axis: int | None = None, keepdims: bool = False) -> tuple[Array, None]:
    """Where the first smallest stands; with no axis, in the flattened array."""
    return array_module(x).argmin(x, axis=axis, keepdims=keepdims), None


@op
def any(x: Array, *, axis: Axis = None, keepdims: bool = False) -> tuple[Array, None]:
    return x.any(axis=axis, keepdims=keepdims), None


@op
def all(x: Array, *, axis: Axis = None, keepdims: bool = False) -> tuple[Array, None]:
    return x.all(axis=axis, keepdims=keepdims), None


def stretching(x: Array, axis: Axis) -> Callable[[Array], Array]:
    """The way back from a reduction of x over `axis`: it stretches the result to x's shape again, without copying."""
    shape, xp, axes = x.shape, array_module(x), _axes(x, axis)
    kept = [1 if position in axes else length for position, length in enumerate(shape)]
    return lambda reduced: xp.broadcast_to(reduced.reshape(kept), shape)


def _axes(x: Array, axis: Axis) -> tuple[int, ...]:
    if axis is None:
        return tuple(range(x.ndim))
    return normalize_axis_tuple(axis, x.ndim)


def _count(x: Array, axis: Axis) -> int:
    return math.prod(x.shape[position] for position in _axes(x, axis))


def _over(grad: Array, y: Array) -> Array:
    """grad / y; where y is 0, so is what this is multiplied by, and grad will do."""
    return grad / (y + (y == 0))


def _shared(grad: Array, x: Array, y: Array, axis: Axis) -> Array:
    stretch = stretching(x, axis)
    chosen = x == stretch(y)
    return stretch(grad) * chosen / chosen.sum(axis=axis, keepdims=True)


def _norm_of_order(x: Array, ord: float, axis: Axis, keepdims: bool) -> tuple[Array, Backward]:
    xp, stretch = array_module(x), stretching(x, axis)
    size, direction = xp.abs(x), xp.sign(x)
    if ord == 0:
        return (x != 0).sum(axis=axis, keepdims=keepdims).astype(x.dtype), lambda grad: (xp.zeros_like(x),)
    if math.isinf(ord):
        y = (size.max if ord > 0 else size.min)(axis=axis, keepdims=keepdims)
        return y, lambda grad: (_shared(grad, size, y, axis) * direction,)
    y = sum_over(size**ord, axis, keepdims) ** (1 / ord)

    def backward(grad: Array) -> tuple[Array]:
        whole = stretch(y)
        share = xp.where(size == 0, 0, size) / xp.where(whole == 0, 1, whole)
        powers = xp.where((size == 0) | (whole == 0), 0, xp.where(share == 0, 1, share) ** (ord - 1))
        return (stretch(grad) * direction * powers,)

    return y, backward
