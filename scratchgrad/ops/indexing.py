"""Ops that pick elements by number, and those that add to elements by number.

Where a number occurs several times its gradients are added up by sorting and summing segments. Unlike scattered
addition that gives the same bits on every run.
"""

from __future__ import annotations

import math
from types import EllipsisType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_index

from scratchgrad.autograd import Backward, SparseGradient
from scratchgrad.backend import HALVES, Array, array_module, segment_sum
from scratchgrad.dispatch import function, op
from scratchgrad.ops.arithmetic import where
from scratchgrad.tensor import raw

if TYPE_CHECKING:
    from scratchgrad.tensor import Tensor


@op(takes="elements")
def getitem(x: Array, *, index: Any) -> tuple[Array, Backward]:
    """x[index] as NumPy has it: integers, slices, `...`, None, integer arrays, boolean masks. Views where it can."""
    if _is_basic(index):
        return x[index], lambda grad: (SparseGradient(grad, index),)
    shape, xp = x.shape, array_module(x)

    def backward(grad: Array) -> tuple[Array]:
        places = xp.arange(math.prod(shape)).reshape(shape)[index]
        return (sum_rows(places.reshape(-1), grad.reshape(-1, 1), math.prod(shape)).reshape(shape),)

    return x[index], backward


@op(takes="elements")
def setitem(x: Array, value: Array, *, index: Any) -> tuple[Array, Backward]:
    """x in memory of its own, with `value` at x[index], as NumPy assigns it: what `x[index] = value` records.

    Where an index names a place several times, the value that stays has the gradient.
    """
    y, xp = x.copy(), array_module(x)
    y[index] = value

    def rest(grad: Array) -> Array:
        rest = grad.copy()
        rest[index] = 0
        return rest

    def part(grad: Array) -> Array:
        part = xp.asarray(grad[index])
        if not _is_basic(index):
            numbers, last = xp.arange(part.size).reshape(part.shape), xp.zeros(grad.shape, np.int64)
            last[index] = numbers
            part = part * (last[index] == numbers)
        return part.reshape((1,) * (value.ndim - part.ndim) + part.shape)

    return y, lambda grad: (lambda: rest(grad), lambda: part(grad))


@op(takes="elements")
def take(x: Array, indices: Array, *, axis: int = 0) -> tuple[Array, Backward]:
    """Slices of x along `axis`, by number (PyTorch's index_select); the axes of `indices` stand where `axis` stood."""
    shape, xp = x.shape, array_module(x)
    axis = normalize_axis_index(axis, x.ndim)
    check_indices(indices, shape[axis])

    def backward(grad: Array) -> tuple[Array, None]:
        inner = shape[:axis] + shape[axis + 1 :]
        last = tuple(range(axis, axis + indices.ndim))
        rows = xp.moveaxis(grad, last, range(indices.ndim)).reshape(indices.size, math.prod(inner))
        summed = sum_rows(indices.reshape(-1) % max(shape[axis], 1), rows, shape[axis])
        return xp.moveaxis(summed.reshape(shape[axis], *inner), 0, axis), None

    return xp.take(x, indices, axis=axis), backward


@op(takes="elements")
def take_along_axis(x: Array, indices: Array, *, axis: int) -> tuple[Array, Backward]:
    """x[..., indices[..., i, ...], ...]: for each place of `indices` an element of its line of x (PyTorch's gather).

    The other axes of `indices` have x's lengths, or 1.
    """
    shape, xp = x.shape, array_module(x)
    axis = normalize_axis_index(axis, x.ndim)
    check_indices(indices, shape[axis])

    def backward(grad: Array) -> tuple[Array, None]:
        return _added_at(places_along(xp.broadcast_to(indices, grad.shape), shape, axis), grad, shape), None

    return xp.take_along_axis(x, indices, axis=axis), backward


@function
def gather(x: Tensor, dim: int, index: Tensor | Array) -> Tensor:
    """PyTorch's: out[i][j] = x[index[i][j]][j] for dim 0. index has x's axes, none but `dim` longer than x's."""
    places = raw(index)
    if places.ndim != x.ndim:
        raise ValueError(f"gather(): index has {places.ndim} axes and x {x.ndim}; they must be as many")
    dim = normalize_axis_index(dim, x.ndim)
    part = x[tuple(slice(None) if axis == dim else slice(length) for axis, length in enumerate(places.shape))]
    return take_along_axis(part, places, axis=dim)


@op
def scatter_add(x: Array, indices: Array, source: Array, *, axis: int) -> tuple[Array, Backward]:
    """x, with each element of `source` added to its line of x at the place that `indices` says.

    indices and source have one shape; their axes other than `axis` have x's lengths, or less.
    """
    axis = normalize_axis_index(axis, x.ndim)
    check_indices(indices, x.shape[axis])
    if indices.shape != source.shape:
        raise ValueError(f"indices {indices.shape} and source {source.shape} must have one shape")
    places = places_along(indices, x.shape, axis)
    y = x + _added_at(places, source, x.shape)
    return y, lambda grad: (grad, None, lambda: grad.reshape(-1)[places])


@op
def index_add(x: Array, indices: Array, source: Array, *, axis: int = 0) -> tuple[Array, Backward]:
    """x, with the i-th slice of `source` along `axis` added to the slice number indices[i] of x. indices (count,)."""
    xp = array_module(x)
    axis = normalize_axis_index(axis, x.ndim)
    check_indices(indices, x.shape[axis])
    if source.shape != (*x.shape[:axis], len(indices), *x.shape[axis + 1 :]):
        raise ValueError(f"source {source.shape} must have x's shape {x.shape} with {len(indices)} at axis {axis}")
    inner = x.shape[:axis] + x.shape[axis + 1 :]
    rows = xp.moveaxis(source, axis, 0).reshape(len(indices), math.prod(inner))
    summed = sum_rows(indices % max(x.shape[axis], 1), rows, x.shape[axis])
    y = x + xp.moveaxis(summed.reshape(x.shape[axis], *inner), 0, axis)
    return y, lambda grad: (grad, None, lambda: xp.take(grad, indices, axis=axis))


@op
def one_hot(ids: Array, *, classes: int) -> tuple[Array, None]:
    """float32 with a new last axis of length `classes`: 1 at the id, 0 elsewhere."""
    check_indices(ids, classes)
    if ids.size and int(ids.min()) < 0:
        raise IndexError(f"{int(ids.min())} is none of the {classes} classes")
    return array_module(ids).eye(classes, dtype=np.float32)[ids], None


@function
def masked_fill(x: Tensor, mask: Tensor | Array, value: float) -> Tensor:
    """`value` where the mask holds, x elsewhere."""
    return where(raw(mask), value, x)


def _is_basic(index: Any) -> bool:
    """Does it name a rectangle, each element once?"""
    entries = index if isinstance(index, tuple) else (index,)
    return all(entry is None or isinstance(entry, int | slice | EllipsisType) for entry in entries)


def sum_rows(ids: Array, rows: Array, count: int) -> Array:
    """out[id] = the sum of all rows with that id. ids (n,); rows (n, width); out (count, width)."""
    out = array_module(rows).zeros((count, rows.shape[1]), rows.dtype)
    present, sums = sums_by_id(ids, rows)
    out[present] = sums
    return out


def sums_by_id(ids: Array, rows: Array) -> tuple[Array, Array]:
    """(the ids that occur, rising, each once; for each the sum of its rows)."""
    xp, dtype = array_module(rows), rows.dtype
    if not ids.size:
        return ids, rows
    rows = rows.astype(np.float32) if dtype in HALVES else rows
    order = xp.argsort(ids, kind="stable")
    in_order = ids[order]
    starts = xp.flatnonzero(xp.append(xp.ones(1, bool), in_order[1:] != in_order[:-1]))
    return in_order[starts], segment_sum(rows[order], starts).astype(dtype, copy=False)


def check_indices(ids: Array, length: int) -> None:
    """Ids must be integers (TypeError) and name one of `length` places (IndexError), negative ones from the end."""
    if ids.dtype.kind not in "iu":
        raise TypeError(f"indices must be integers, and they are {ids.dtype}: use .astype(int)")
    if ids.size and (int(ids.min()) < -length or int(ids.max()) >= length):
        raise IndexError(f"indices from {int(ids.min())} to {int(ids.max())} on an axis of length {length}")


def places_along(indices: Array, shape: tuple[int, ...], axis: int) -> Array:
    """For each of `indices`, which name places along `axis`, the number of the element in the flattened array.

    Their other axes have the lengths of `shape` or less; an axis of length 1 in `shape` is as long as it needs to be.
    ValueError where they do not fit.
    """
    if len(indices.shape) != len(shape):
        raise ValueError(f"indices must have {len(shape)} axes, and they have {indices.ndim}")
    xp = array_module(indices)
    flat = xp.zeros(indices.shape, np.int64)
    for position, length in enumerate(indices.shape):
        inner = math.prod(shape[position + 1 :])
        if position == axis:
            flat += indices % max(shape[axis], 1) * inner
        elif length <= shape[position]:
            flat += xp.arange(length).reshape(-1, *(1,) * (indices.ndim - position - 1)) * inner
        elif shape[position] != 1:
            raise ValueError(f"axis {position} of indices is {length}, longer than the {shape[position]} of x")
    return flat


def _added_at(places: Array, source: Array, shape: tuple[int, ...]) -> Array:
    """Zeros of `shape`, with source added at places of the flattened array."""
    return sum_rows(places.reshape(-1), source.reshape(-1, 1), math.prod(shape)).reshape(shape)
