"""Ops that move elements and leave them as they are."""

from types import EllipsisType

from scratchgrad.autograd import Backward, Part
from scratchgrad.backend import Array
from scratchgrad.tensor import op

Index = int | slice | EllipsisType | None


@op
def reshape(x: Array, *, shape: tuple[int, ...]) -> tuple[Array, Backward]:
    """The same elements in another shape; one length may be -1."""
    before = x.shape
    return x.reshape(shape), lambda grad: (grad.reshape(before),)


@op
def transpose(x: Array, *, axes: tuple[int, ...] | None = None) -> tuple[Array, Backward]:
    """The axes in another order, in reverse if none is given."""
    order = tuple(axis % x.ndim for axis in axes) if axes is not None else tuple(reversed(range(x.ndim)))
    back = tuple(order.index(axis) for axis in range(x.ndim))
    return x.transpose(order), lambda grad: (grad.transpose(back),)


@op
def getitem(x: Array, *, index: Index | tuple[Index, ...]) -> tuple[Array, Backward]:
    """x[index] for integers, slices, `...` and None: a view of x, which gets its gradient as a part."""
    for entry in index if isinstance(index, tuple) else (index,):
        if not (entry is None or isinstance(entry, int | slice | EllipsisType)):
            raise TypeError(f"getitem: an index holds integers, slices, ... and None, not {type(entry).__name__}")
    return x[index], lambda grad: (Part(grad, index),)
