"""Ops that tell, for every element of an axis, something of all up to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from scratchgrad.autograd import Backward
from scratchgrad.backend import Array, array_module
from scratchgrad.dispatch import function, op
from scratchgrad.ops.indexing import take_along_axis
from scratchgrad.tensor import Tensor

if TYPE_CHECKING:
    from types import ModuleType


@op
def cumsum(x: Array, *, axis: int) -> tuple[Array, Backward]:
    """Along `axis`, the sum of all up to here."""
    return x.cumsum(axis=axis), lambda grad: (_from_here_on(grad, axis),)


@op
def cumprod(x: Array, *, axis: int) -> tuple[Array, Backward]:
    """Along `axis`, the product of all up to here. The gradient is right for zeros, too."""
    y = x.cumprod(axis=axis)

    def backward(grad: Array) -> tuple[Array]:
        xp, zero = array_module(x), x == 0
        first = zero & (zero.cumsum(axis=axis) == 1)  # before it all is a quotient, behind it there is no gradient
        others = xp.where(first, 1, x).cumprod(axis=axis)
        quotients = _from_here_on(grad * y, axis) / xp.where(zero, 1, x)
        return (xp.where(first, _from_here_on(grad * others, axis), xp.where(zero, 0, quotients)),)

    return y, backward


@op(takes="floats")
def logcumsumexp(x: Array, *, axis: int) -> tuple[Array, Backward]:
    """Along `axis`, log(sum(e^x)) of all up to here."""
    xp = array_module(x)
    y = _log_sums(xp, x, axis)

    def backward(grad: Array) -> tuple[Array]:
        """e^x_i times the sum over j >= i of grad_j * e^-y_j, by logarithms, which have no sign."""
        with np.errstate(divide="ignore", invalid="ignore"):
            parts = [
                xp.exp(x + xp.flip(_log_sums(xp, xp.flip(xp.log(xp.maximum(each, 0)) - y, axis), axis), axis))
                for each in (grad, -grad)
            ]
        return (xp.where(xp.isneginf(x), 0, parts[0] - parts[1]),)

    return y, backward


@function
def cummax(x: Tensor, axis: int) -> tuple[Tensor, Tensor]:
    """(along `axis`, the largest of all up to here; where it stands, the last of equal ones, as PyTorch has it)."""
    places = cumulative_argmax(x, axis=axis)
    return take_along_axis(x, places, axis=axis), places


@function
def cummin(x: Tensor, axis: int) -> tuple[Tensor, Tensor]:
    """(along `axis`, the smallest of all up to here; where it stands, the last of equal ones)."""
    places = cumulative_argmax(-x, axis=axis)
    return take_along_axis(x, places, axis=axis), places


@op(takes="elements")
def cumulative_argmax(x: Array, *, axis: int) -> tuple[Array, None]:
    """Along `axis`, where the largest of all up to here stands, the last of equal ones."""
    xp = array_module(x)
    numbers = xp.arange(x.shape[axis]).reshape(-1, *(1,) * (x.ndim - 1 - axis % x.ndim))
    largest = xp.maximum.accumulate(x, axis=axis)
    reached = (x == largest) | (x != x)
    return xp.maximum.accumulate(xp.where(reached, numbers, 0), axis=axis), None


def _from_here_on(x: Array, axis: int) -> Array:
    """The sum of all from here on."""
    xp = array_module(x)
    return xp.flip(xp.flip(x, axis).cumsum(axis=axis), axis)


def _log_sums(xp: ModuleType, x: Array, axis: int) -> Array:
    if xp is np:
        return np.logaddexp.accumulate(x, axis=axis)
    lines = xp.moveaxis(x.copy(), axis, 0)
    for i in range(1, len(lines)):  # CuPy accumulates sums and products alone
        xp.logaddexp(lines[i - 1], lines[i], out=lines[i])
    return xp.moveaxis(lines, 0, axis)
