"""Collectives that a gradient goes back through: what one rank sent is what its gradient comes back from.

All ranks of `comm` call them in the same order, forward and backward, as an SPMD program does by itself.

In a region where activations are cut over a group, as of a tensor-parallel layer (Shoeybi et al. 2019, "Megatron-LM",
section 3), values outside are the same on all ranks, and so are their gradients. Four ops go in and out:

    copy_to_group       forward: itself             backward: all_reduce    (Megatron's f)
    reduce_from_group   forward: all_reduce         backward: itself        (Megatron's g)
    scatter_to_group    forward: this rank's part   backward: all_gather
    gather_from_group   forward: all_gather         backward: this rank's part

Where each rank has values of its own and all losses are added up, a collective's gradient is its adjoint:

    all_reduce          backward: all_reduce
    all_gather          backward: reduce_scatter
    reduce_scatter      backward: all_gather
    all_to_all          backward: all_to_all

Parts along an axis may have unequal lengths. Cut by default is as `split_ranges` cuts.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

import numpy as np
from numpy.lib.array_utils import normalize_axis_index

from scratchgrad.autograd import Backward
from scratchgrad.backend import Array, device_of, to_device, to_numpy
from scratchgrad.dispatch import op
from scratchgrad.parallel.communicator import Communicator, split_ranges


@op
def copy_to_group(x: Array, *, comm: Communicator) -> tuple[Array, Backward]:
    """x, which is the same on all ranks, for each to do something else with; their gradients are added up."""
    return x, lambda grad: (_all_reduced(grad, comm),)


@op
def reduce_from_group(x: Array, *, comm: Communicator) -> tuple[Array, Backward]:
    """The sum of x over all ranks, which goes on as one value: its gradient is each rank's."""
    return _all_reduced(x, comm), lambda grad: (grad,)


@op
def scatter_to_group(x: Array, *, comm: Communicator, axis: int = -1) -> tuple[Array, Backward]:
    """This rank's part of x, which is the same on all ranks, along an axis."""
    axis = normalize_axis_index(axis, x.ndim)
    part = split_ranges(x.shape[axis], comm.size)[comm.rank]
    return _part(x, axis, part), lambda grad: (_all_gathered(grad, comm, axis)[0],)


@op
def gather_from_group(x: Array, *, comm: Communicator, axis: int = -1) -> tuple[Array, Backward]:
    """All ranks' x, one after another along an axis, which go on as one value: each rank's gradient is its part."""
    axis = normalize_axis_index(axis, x.ndim)
    whole, sizes = _all_gathered(x, comm, axis)
    start = sum(sizes[: comm.rank])
    return whole, lambda grad: (_part(grad, axis, range(start, start + sizes[comm.rank])),)


@op
def all_reduce(x: Array, *, comm: Communicator) -> tuple[Array, Backward]:
    """The sum of x over all ranks, with which each goes its own way: their gradients are added up, too."""
    return _all_reduced(x, comm), lambda grad: (_all_reduced(grad, comm),)


@op
def all_gather(x: Array, *, comm: Communicator, axis: int = 0) -> tuple[Array, Backward]:
    """All ranks' x, one after another along an axis."""
    axis = normalize_axis_index(axis, x.ndim)
    whole, sizes = _all_gathered(x, comm, axis)
    return whole, lambda grad: (_reduce_scattered(grad, comm, axis, sizes),)


@op
def reduce_scatter(
    x: Array, *, comm: Communicator, axis: int = 0, split_sizes: Sequence[int] | None = None
) -> tuple[Array, Backward]:
    """This rank's part, along an axis, of the sum of x over all ranks.

    split_sizes: the lengths of all ranks' parts.
    """
    axis = normalize_axis_index(axis, x.ndim)
    return _reduce_scattered(x, comm, axis, split_sizes), lambda grad: (_all_gathered(grad, comm, axis)[0],)


@op
def all_to_all(
    x: Array, *, comm: Communicator, axis: int = 0, split_sizes: Sequence[int] | None = None
) -> tuple[Array, Backward]:
    """What all ranks send to this one, one after another along an axis. Parts of x go to the ranks in their order.

    split_sizes: the lengths of the parts of this rank's x.
    """
    axis = normalize_axis_index(axis, x.ndim)
    if split_sizes is None:
        split_sizes = [len(part) for part in split_ranges(x.shape[axis], comm.size)]
    whole, sizes = _exchanged(x, comm, axis, split_sizes)
    return whole, lambda grad: (_exchanged(grad, comm, axis, sizes)[0],)


def _part(x: Array, axis: int, part: range) -> Array:
    return x[(slice(None),) * axis + (slice(part.start, part.stop),)]


def _all_reduced(x: Array, comm: Communicator) -> Array:
    total = np.array(to_numpy(x), order="C")
    comm.all_reduce(total)
    return to_device(total, device_of(x))


def _all_gathered(x: Array, comm: Communicator, axis: int) -> tuple[Array, list[int]]:
    """All ranks' x along an axis, and how long each is."""
    return _put_together(comm.all_gatherv(np.moveaxis(to_numpy(x), axis, 0)), x, axis)


def _exchanged(x: Array, comm: Communicator, axis: int, split_sizes: Sequence[int]) -> tuple[Array, list[int]]:
    rows = np.moveaxis(to_numpy(x), axis, 0)
    if sum(split_sizes) != len(rows):
        raise ValueError(f"split_sizes {list(split_sizes)} do not cut axis {axis}, which is {len(rows)} long")
    cuts = list(accumulate(split_sizes))[:-1]
    return _put_together(comm.all_to_all(np.split(rows, cuts)), x, axis)


def _put_together(parts: list[Array], like: Array, axis: int) -> tuple[Array, list[int]]:
    """Parts with the axis moved to the front, one after another along it, on the device of `like`."""
    whole = np.concatenate([np.moveaxis(part, 0, axis) for part in parts], axis=axis)
    return to_device(whole, device_of(like)), [len(part) for part in parts]


def _reduce_scattered(x: Array, comm: Communicator, axis: int, split_sizes: Sequence[int] | None) -> Array:
    part = comm.reduce_scatter(np.moveaxis(to_numpy(x), axis, 0), split_sizes)
    return to_device(np.ascontiguousarray(np.moveaxis(part, 0, axis)), device_of(x))
