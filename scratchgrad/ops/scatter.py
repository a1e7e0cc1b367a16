"""Ops that write elements into a copy of an array, by number or by mask. Of several that meet, the last one stands."""

from __future__ import annotations

import math
from typing import Any, Literal, get_args

from numpy.lib.array_utils import normalize_axis_index

from scratchgrad.autograd import Backward
from scratchgrad.backend import Array, array_module
from scratchgrad.dispatch import op
from scratchgrad.ops.indexing import check_indices, places_along, sum_rows
from scratchgrad.tensor import raw

Reduce = Literal["sum", "prod", "mean", "amax", "amin"]


@op(takes="elements")
def scatter(x: Array, indices: Array, source: Array, *, axis: int) -> tuple[Array, Backward]:
    """x, with each element of `source` in its line of x at the place that `indices` says.

    indices and source have one shape; their axes other than `axis` have x's lengths, or less.
    """
    return _written(x, source_places(x, indices, source, axis), source, with_indices=True)


@op(takes="elements")
def index_copy(x: Array, indices: Array, source: Array, *, axis: int = 0) -> tuple[Array, Backward]:
    """x, with the i-th slice of `source` along `axis` as the slice number indices[i]. indices (count,)."""
    axis = normalize_axis_index(axis, x.ndim)
    check_indices(indices, x.shape[axis])
    if indices.ndim != 1 or source.shape != (*x.shape[:axis], len(indices), *x.shape[axis + 1 :]):
        raise ValueError(f"source {source.shape} must have x's shape {x.shape} with {indices.shape} at axis {axis}")
    numbers = array_module(x).arange(x.size).reshape(x.shape)
    return _written(x, numbers[(*(slice(None),) * axis, indices)], source, with_indices=True)


@op(takes="elements")
def index_put(x: Array, values: Array, *, index: Any, accumulate: bool = False) -> tuple[Array, Backward]:
    """x, with `values`, which broadcast, at x[index]; accumulate: added to what is there, however many meet."""
    xp = array_module(x)
    numbers = xp.arange(x.size).reshape(x.shape)
    entries = index if isinstance(index, tuple) else (index,)
    places = numbers[tuple(raw(entry) for entry in entries)]
    spread = xp.broadcast_to(xp.asarray(values, x.dtype), places.shape)
    if not accumulate:
        return _written(x, places, spread)
    y = x + sum_rows(places.reshape(-1), spread.reshape(-1, 1), x.size).reshape(x.shape)
    return y, lambda grad: (grad, grad.reshape(-1)[places])


@op(takes="elements")
def masked_scatter(x: Array, mask: Array, source: Array) -> tuple[Array, Backward]:
    """x, with the first elements of `source`, in order, where the mask, which broadcasts to x, holds."""
    xp = array_module(x)
    places = xp.flatnonzero(xp.broadcast_to(mask, x.shape))
    if len(places) > source.size:
        raise ValueError(f"the mask holds at {len(places)} places, and source has {source.size} elements")
    y, backward_of_places = _written(x, places, source.reshape(-1)[: len(places)])
    shape = source.shape

    def backward(grad: Array) -> tuple[Array, None, Array]:
        of_x, taken = backward_of_places(grad)
        of_source = xp.zeros(math.prod(shape), grad.dtype)
        of_source[: len(places)] = taken
        return of_x, None, of_source.reshape(shape)

    return y, backward


@op
def scatter_reduce(
    x: Array, indices: Array, source: Array, *, axis: int, reduce: Reduce, include_self: bool = True
) -> tuple[Array, Backward]:
    """x, with all elements of `source` that meet at one place, and x's there if include_self, made into one.

    reduce: "sum", "prod", "mean", "amax" or "amin". Places that nothing meets stay as they are. Equal largest or
    smallest ones share the gradient, as in PyTorch. Shapes as of `scatter`.
    """
    if reduce not in get_args(Reduce):
        raise ValueError(f"reduce is one of {', '.join(get_args(Reduce))}, and it is {reduce!r}")
    xp, shape, size = array_module(x), x.shape, x.size
    places = source_places(x, indices, source, axis)
    ids, parts, own = places.reshape(-1), source.reshape(-1), x.reshape(-1)
    met = xp.bincount(ids, minlength=size).astype(x.dtype) if ids.size else xp.zeros(size, x.dtype)
    counts_self = xp.where(met > 0, float(include_self), 1).astype(x.dtype)  # x counts where nothing else does

    def added(numbers: Array) -> Array:
        return sum_rows(ids, numbers[:, None], size)[:, 0]

    if reduce in ("sum", "mean"):
        count = met + counts_self if reduce == "mean" else xp.ones_like(met)
        y = (counts_self * own + added(parts)) / count

        def of_sum(grad: Array) -> tuple[Array, None, Array]:
            each = grad.reshape(-1) / count
            return (each * counts_self).reshape(shape), None, each[ids].reshape(source.shape)

        return y.reshape(shape), of_sum
    if reduce == "prod":
        mine = xp.where(counts_self > 0, own, 1)
        zeros = added((parts == 0).astype(x.dtype)) + (mine == 0)
        product = xp.where(mine == 0, 1, mine)
        xp.multiply.at(product, ids, xp.where(parts == 0, 1, parts))

        def others(numbers: Array, product: Array, zeros: Array) -> Array:
            """The product of all that meet but this one."""
            rest = zeros - (numbers == 0)
            return xp.where(rest > 0, 0, product / xp.where(numbers == 0, 1, numbers))

        def of_product(grad: Array) -> tuple[Array, None, Array]:
            flat = grad.reshape(-1)
            of_x = flat * others(mine, product, zeros) * counts_self
            of_source = flat[ids] * others(parts, product[ids], zeros[ids])
            return of_x.reshape(shape), None, of_source.reshape(source.shape)

        return xp.where(zeros > 0, 0, product).reshape(shape), of_product
    ufunc, worst = (xp.maximum, -math.inf) if reduce == "amax" else (xp.minimum, math.inf)
    y = xp.where(counts_self > 0, own, worst).astype(x.dtype)
    ufunc.at(y, ids, parts)

    def of_extreme(grad: Array) -> tuple[Array, None, Array]:
        mine, theirs = (own == y) * counts_self, (parts == y[ids]).astype(grad.dtype)
        each = grad.reshape(-1) / xp.maximum(mine + added(theirs), 1)
        return (each * mine).reshape(shape), None, (each[ids] * theirs).reshape(source.shape)

    return y.reshape(shape), of_extreme


def source_places(x: Array, indices: Array, source: Array, axis: int) -> Array:
    """The numbers of the elements of x that `scatter` writes; ValueError and IndexError where shapes do not fit."""
    axis = normalize_axis_index(axis, x.ndim)
    check_indices(indices, x.shape[axis])
    if indices.shape != source.shape:
        raise ValueError(f"indices {indices.shape} and source {source.shape} must have one shape")
    return places_along(indices, x.shape, axis)


def _written(x: Array, places: Array, source: Array, with_indices: bool = False) -> tuple[Array, Backward]:
    """x with source at places; only the element that stands has a gradient."""
    xp, shape, flat = array_module(x), x.shape, places.reshape(-1)
    who = xp.full(x.size, -1)
    xp.maximum.at(who, flat, xp.arange(flat.size))
    stands = who[flat] == xp.arange(flat.size)
    y = x.copy().reshape(-1)
    y[who >= 0] = source.reshape(-1)[who[who >= 0]]

    def backward(grad: Array) -> tuple[Array | None, ...]:
        of_x = xp.where(who.reshape(shape) < 0, grad, 0)
        of_source = (grad.reshape(-1)[flat] * stands).reshape(source.shape)
        return (of_x, None, of_source) if with_indices else (of_x, of_source)

    return y.reshape(shape), backward
