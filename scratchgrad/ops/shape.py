"""Ops that move, repeat or leave out elements. They speak NumPy: names, arguments and order of axes."""

from __future__ import annotations

import builtins
import math
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from numpy.lib.array_utils import normalize_axis_index, normalize_axis_tuple

from scratchgrad.autograd import Backward
from scratchgrad.backend import Array, Device, array_module, device_of, sum_over
from scratchgrad.backend import to_device as moved
from scratchgrad.dispatch import function, op
from scratchgrad.ops.indexing import sum_rows
from scratchgrad.tensor import raw

if TYPE_CHECKING:
    from scratchgrad.tensor import Tensor


@op(takes="elements")
def reshape(x: Array, *, shape: tuple[int, ...]) -> tuple[Array, Backward]:
    """The same elements in another shape; one length may be -1."""
    before = x.shape
    return x.reshape(shape), lambda grad: (grad.reshape(before),)


@function
def flatten(x: Tensor, start_axis: int = 0, end_axis: int = -1) -> Tensor:
    """The axes from `start_axis` to `end_axis` as one."""
    first, last = (normalize_axis_index(axis, max(x.ndim, 1)) for axis in (start_axis, end_axis))
    return reshape(x, shape=(*x.shape[:first], math.prod(x.shape[first : last + 1]), *x.shape[last + 1 :]))


@op(takes="elements")
def squeeze(x: Array, *, axis: int | tuple[int, ...] | None = None) -> tuple[Array, Backward]:
    """Without the axes of length 1: all of them, or those named."""
    before = x.shape
    return x.squeeze(axis), lambda grad: (grad.reshape(before),)


@op(takes="elements")
def expand_dims(x: Array, *, axis: int | tuple[int, ...]) -> tuple[Array, Backward]:
    """With a new axis of length 1 at `axis` of the result."""
    before = x.shape
    return array_module(x).expand_dims(x, axis), lambda grad: (grad.reshape(before),)


@op(takes="elements")
def transpose(x: Array, *, axes: tuple[int, ...] | None = None) -> tuple[Array, Backward]:
    """The axes in another order, in reverse if none is given."""
    order = normalize_axis_tuple(axes, x.ndim) if axes is not None else tuple(reversed(range(x.ndim)))
    if len(order) != x.ndim:
        raise ValueError(f"each of the {x.ndim} axes must be named once; swapaxes() swaps two")
    back = tuple(order.index(axis) for axis in range(x.ndim))
    return x.transpose(order), lambda grad: (grad.transpose(back),)


@op(takes="elements")
def swapaxes(x: Array, *, axis1: int, axis2: int) -> tuple[Array, Backward]:
    return x.swapaxes(axis1, axis2), lambda grad: (grad.swapaxes(axis1, axis2),)


@op(takes="elements")
def broadcast_to(x: Array, *, shape: tuple[int, ...]) -> tuple[Array, Backward]:
    """Repeated along axes of length 1 and new leading axes, without copying; -1 keeps a length (PyTorch's expand)."""
    if -1 in shape:
        lead = len(shape) - x.ndim
        if -1 in shape[: max(lead, 0)]:
            raise ValueError("-1 keeps the length of an axis, and a new axis has none")
        shape = tuple(x.shape[i - lead] if n == -1 else n for i, n in enumerate(shape))
    return array_module(x).broadcast_to(x, shape), lambda grad: (grad,)  # the engine sums what was stretched


@op
def concatenate(*arrays: Array, axis: int = 0) -> tuple[Array, Backward]:
    """Joined along `axis`; the other axes agree. Takes the tensors one by one or as one list."""
    if not arrays:
        raise ValueError("there is nothing to join")
    ends = [0]
    for array in arrays:
        ends.append(ends[-1] + array.shape[axis])
    xp, cuts = array_module(arrays[0]), ends[1:-1]
    return xp.concatenate(arrays, axis=axis), lambda grad: xp.split(grad, cuts, axis=axis)


@op
def stack(*arrays: Array, axis: int = 0) -> tuple[Array, Backward]:
    """Joined along a new axis; all shapes agree. Takes the tensors one by one or as one list."""
    if not arrays:
        raise ValueError("there is nothing to join")
    xp = array_module(arrays[0])
    return xp.stack(arrays, axis=axis), lambda grad: tuple(xp.moveaxis(grad, axis, 0))


@function
def split(x: Tensor, sections: int | Sequence[int], axis: int = 0) -> list[Tensor]:
    """Cut along `axis`: into equal parts, or at the positions of a list. ValueError where parts cannot be equal."""
    axis = normalize_axis_index(axis, x.ndim)
    length = x.shape[axis]
    if isinstance(sections, int):
        if length % sections:
            raise ValueError(f"split(): axis {axis} of length {length} cannot be cut into {sections} equal parts")
        sections = range(length // sections, length, length // sections) if length else [0] * (sections - 1)
    lead = (builtins.slice(None),) * axis
    ends = [0, *sections, length]
    return [x[(*lead, builtins.slice(a, b))] for a, b in pairwise(ends)]


@op(takes="elements")
def flip(x: Array, *, axis: int | tuple[int, ...] | None = None) -> tuple[Array, Backward]:
    xp = array_module(x)
    return xp.flip(x, axis), lambda grad: (xp.flip(grad, axis),)


@op(takes="elements")
def roll(x: Array, *, shift: int, axis: int | None = None) -> tuple[Array, Backward]:
    """Shifted along `axis`; what leaves at the end comes in at the beginning."""
    xp = array_module(x)
    return xp.roll(x, shift, axis), lambda grad: (xp.roll(grad, -shift, axis),)


@op(takes="elements")
def repeat(x: Array, *, repeats: int | Array, axis: int) -> tuple[Array, Backward]:
    """Every element `repeats` times in a row (PyTorch's repeat_interleave), or as often as it says of each."""
    shape, axis = x.shape, normalize_axis_index(axis, x.ndim)
    if not isinstance(repeats, int):
        return _repeated_by_counts(x, array_module(x).asarray(raw(repeats)), axis)
    grouped = (*shape[: axis + 1], repeats, *shape[axis + 1 :])
    return array_module(x).repeat(x, repeats, axis), lambda grad: (sum_over(grad.reshape(grouped), axis + 1),)


def _repeated_by_counts(x: Array, counts: Array, axis: int) -> tuple[Array, Backward]:
    xp, shape = array_module(x), x.shape
    if counts.shape not in ((), (1,), (shape[axis],)):
        raise ValueError(
            f"repeats must name {shape[axis]} counts, one for each place of axis {axis}, not {counts.shape}"
        )
    ids = xp.repeat(xp.arange(shape[axis]), counts.tolist())

    def backward(grad: Array) -> tuple[Array]:
        lines = xp.moveaxis(grad, axis, 0)
        rows = sum_rows(ids, lines.reshape(len(ids), math.prod(lines.shape[1:])), shape[axis])
        return (xp.moveaxis(rows.reshape(shape[axis], *lines.shape[1:]), 0, axis),)

    return xp.take(x, ids, axis=axis), backward


@op(takes="elements")
def tile(x: Array, *, reps: tuple[int, ...]) -> tuple[Array, Backward]:
    """The whole array reps[i] times along axis i; missing entries of either are ones in front."""
    ndim = max(x.ndim, len(reps))
    shape, counts = (1,) * (ndim - x.ndim) + x.shape, (1,) * (ndim - len(reps)) + tuple(reps)
    woven = [length for pair in zip(counts, shape, strict=True) for length in pair]

    def backward(grad: Array) -> tuple[Array]:
        return (sum_over(grad.reshape(woven), tuple(range(0, 2 * ndim, 2))),)

    return array_module(x).tile(x, reps), backward


@op(takes="elements")
def pad(x: Array, *, pad_width: Sequence[tuple[int, int]], value: float = 0.0) -> tuple[Array, Backward]:
    """With `value` around it: pad_width[i] says how often before and after along axis i."""
    if len(pad_width) != x.ndim:
        raise ValueError(f"pad_width says (before, after) for {len(pad_width)} axes, and there are {x.ndim}")
    inside = tuple(
        builtins.slice(before, before + length) for (before, _), length in zip(pad_width, x.shape, strict=True)
    )
    return array_module(x).pad(x, pad_width, constant_values=value), lambda grad: (grad[inside],)


@op(takes="elements")
def tril(x: Array, *, k: int = 0) -> tuple[Array, Backward]:
    """Zero above the k-th diagonal of the last two axes."""
    xp = array_module(x)
    return xp.tril(x, k), lambda grad: (xp.tril(grad, k),)


@op(takes="elements")
def triu(x: Array, *, k: int = 0) -> tuple[Array, Backward]:
    """Zero below the k-th diagonal of the last two axes."""
    xp = array_module(x)
    return xp.triu(x, k), lambda grad: (xp.triu(grad, k),)


@op(takes="elements")
def diagonal(x: Array, *, offset: int = 0, axis1: int = 0, axis2: int = 1) -> tuple[Array, Backward]:
    """The elements (i, i + offset) of two axes, as a new last axis."""
    if x.ndim < 2:
        raise ValueError(f"a diagonal needs two axes, and there are {x.ndim}")
    xp, shape, dtype = array_module(x), x.shape, x.dtype
    count = max(0, min(shape[axis1] + min(offset, 0), shape[axis2] - max(offset, 0)))
    places = (..., xp.arange(count) - min(offset, 0), xp.arange(count) + max(offset, 0))

    def backward(grad: Array) -> tuple[Array]:
        out = xp.zeros(shape, dtype)
        xp.moveaxis(out, (axis1, axis2), (-2, -1))[places] = grad
        return (out,)

    return xp.moveaxis(x, (axis1, axis2), (-2, -1))[places], backward


@op(takes="elements")
def unfold(x: Array, *, axis: int, size: int, step: int = 1) -> tuple[Array, Backward]:
    """Windows of `size` neighbours, `step` apart, along `axis`; what is in a window becomes a new last axis."""
    xp, shape, dtype, axis = array_module(x), x.shape, x.dtype, normalize_axis_index(axis, x.ndim)
    if size < 1 or step < 1:
        raise ValueError(f"size and step must be 1 or more, and they are {size} and {step}")
    if size > shape[axis]:
        raise ValueError(f"a window of {size} does not fit into axis {axis} of length {shape[axis]}")
    starts = xp.arange(0, shape[axis] - size + 1, step)
    windows = xp.take(x, starts[:, None] + xp.arange(size), axis=axis)

    def backward(grad: Array) -> tuple[Array]:
        out = xp.zeros(shape, dtype)
        lead = (builtins.slice(None),) * axis
        for i in range(size):  # neighbouring windows overlap; the i-th elements of all windows do not
            out[(*lead, starts + i)] += grad[..., i]
        return (out,)

    return xp.moveaxis(windows, axis + 1, -1), backward


@op(takes="elements")
def contiguous(x: Array) -> tuple[Array, Backward]:
    """The same values in the order of C; itself if they are already."""
    return array_module(x).ascontiguousarray(x).reshape(x.shape), lambda grad: (grad,)


@op(takes="elements")
def copy(x: Array) -> tuple[Array, Backward]:
    """The same values in memory of their own."""
    return x.copy(), lambda grad: (grad,)


@op(takes="elements")
def astype(x: Array, *, dtype: Any) -> tuple[Array, Backward | None]:
    """The same values in another dtype; the gradient comes back in that of x. Integers have none."""
    y = x.astype(dtype)
    return y, None if y.dtype.kind in "iub" else lambda grad: (grad,)


@op(takes="elements")
def to_device(x: Array, *, device: Device) -> tuple[Array, Backward]:
    """The same values on 'cpu' or 'cuda', itself if they are there; the gradient comes back to where x is."""
    home = device_of(x)
    return moved(x, device), lambda grad: (moved(grad, home),)
