"""Ops that put elements in order, and those that ask for a place in the order."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_index

from scratchgrad.backend import Array, array_module
from scratchgrad.dispatch import function, op
from scratchgrad.ops.arithmetic import lerp, where
from scratchgrad.ops.comparison import isnan
from scratchgrad.ops.indexing import take_along_axis
from scratchgrad.ops.shape import expand_dims, reshape, stack
from scratchgrad.tensor import Tensor, raw


@op(takes="elements")
def argsort(x: Array, *, axis: int = -1, descending: bool = False) -> tuple[Array, None]:
    """The order in which elements along `axis` rise (or fall); equal ones keep their order."""
    if not descending:
        return x.argsort(axis=axis, kind="stable"), None
    xp = array_module(x)
    backwards = xp.flip(x, axis).argsort(axis=axis, kind="stable")
    return xp.flip(x.shape[axis] - 1 - backwards, axis), None


@function
def sort(x: Tensor, axis: int = -1, descending: bool = False) -> tuple[Tensor, Tensor]:
    """(values in order, where they stood)."""
    order = argsort(x, axis=axis, descending=descending)
    return take_along_axis(x, order, axis=axis), order


@function
def topk(x: Tensor, k: int, axis: int = -1, largest: bool = True) -> tuple[Tensor, Tensor]:
    """(the k largest along `axis` in falling order, or smallest in rising order, where they stood); of equal ones the
    first.
    """
    axis = normalize_axis_index(axis, x.ndim)
    if not 0 <= k <= x.shape[axis]:
        raise ValueError(f"topk(): k = {k} of an axis of length {x.shape[axis]}")
    order = argsort(x, axis=axis, descending=largest)
    first = order[(*(slice(None),) * axis, slice(k))]
    return take_along_axis(x, first, axis=axis), first


@function
def quantile(x: Tensor, q: float | Sequence[float], axis: int | None = None, keepdims: bool = False) -> Tensor:
    """The value that a share `q` of the elements does not exceed, between two of them by a straight line; NaN beside
    NaN. Several shares are a new first axis, as NumPy has it. ValueError for a share outside 0 to 1, or of no elements.
    """
    if not isinstance(q, int | float):
        return stack([quantile(x, one, axis, keepdims) for one in q])
    line = reshape(x, shape=(-1,)) if axis is None else x
    at = 0 if axis is None else normalize_axis_index(axis, x.ndim)
    length = line.shape[at]
    if not 0 <= q <= 1 or not length:
        raise ValueError(f"quantile(): a share from 0 to 1 of one element or more, not {q} of {length}")
    in_order, _ = sort(line, at)
    place = q * (length - 1)
    low = math.floor(place)
    lead = (slice(None),) * at
    result = lerp(in_order[(*lead, low)], in_order[(*lead, min(low + 1, length - 1))], place - low)
    result = where(isnan(in_order[(*lead, -1)]), math.nan, result)
    if not keepdims:
        return result
    return reshape(result, shape=(1,) * x.ndim) if axis is None else expand_dims(result, axis=at)


@function
def median(x: Tensor, axis: int | None = None, keepdims: bool = False) -> Tensor:
    """The middle one in order; of an even number the mean of the two in the middle (NumPy; PyTorch takes the lower)."""
    return quantile(x, 0.5, axis, keepdims)


def searchsorted(sorted_values: Tensor | Array, values: Tensor | Array | float, side: str = "left") -> Tensor:
    """int64: where values would stand in `sorted_values` (n,), before equal ones (side "left") or behind ("right")."""
    line = raw(sorted_values)
    xp = array_module(line)
    if line.ndim != 1 or side not in ("left", "right"):
        raise ValueError(f"searchsorted(): side 'left' or 'right' of one axis, not {side!r} of {line.ndim} axes")
    return Tensor(xp.asarray(xp.searchsorted(line, xp.asarray(raw(values)), side=side)))


def bincount(ids: Tensor | Array, minlength: int = 0) -> Tensor:
    """(max(ids) + 1 or minlength,) int64: how often each number occurs. ids (n,), integers that are not negative."""
    numbers = raw(ids)
    return Tensor(array_module(numbers).bincount(numbers, minlength=minlength))


def unique(x: Tensor | Array, return_inverse: bool = False, return_counts: bool = False) -> Any:
    """The values that occur, rising, each once; if asked, with which of them each element is (of x's shape), and with
    how often each occurs: a tuple then. No gradient.
    """
    values = raw(x)
    found = array_module(values).unique(values, return_inverse=return_inverse, return_counts=return_counts)
    return tuple(map(Tensor, found)) if isinstance(found, tuple) else Tensor(found)


def nonzero(x: Tensor | Array) -> tuple[Tensor, ...]:
    """Where x is not 0: for each axis the numbers of the places, int64, as an index takes them."""
    values = raw(x)
    return tuple(map(Tensor, array_module(values).nonzero(values)))


def tril_indices(rows: int, k: int = 0, columns: int | None = None) -> tuple[Tensor, Tensor]:
    """(rows, columns) of the places on and below the k-th diagonal of a matrix, as an index takes them."""
    row, column = np.tril_indices(rows, k, columns)
    return Tensor(row), Tensor(column)


def triu_indices(rows: int, k: int = 0, columns: int | None = None) -> tuple[Tensor, Tensor]:
    """(rows, columns) of the places on and above the k-th diagonal of a matrix, as an index takes them."""
    row, column = np.triu_indices(rows, k, columns)
    return Tensor(row), Tensor(column)
