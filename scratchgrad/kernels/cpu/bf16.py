"""Linear layers and the loss over a vocabulary with bf16 operands in their matrix products, and float32 sums.

Products are computed by one of two modules that have the same functions: `bf16_avx512` or `bf16_numkong`. Rows are
shared out to the threads in blocks that are cut by shape alone, and a row's bits do not depend on the rows around it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np
from ml_dtypes import bfloat16

from scratchgrad.autograd import Backward
from scratchgrad.backend import Array
from scratchgrad.dispatch import KernelResult, kernel
from scratchgrad.errors import UserError
from scratchgrad.ops.cross_entropy import IGNORE_INDEX, softmax_minus_target
from scratchgrad.ops.feed_forward import in_three_steps
from scratchgrad.ops.linalg import as_rows
from scratchgrad.ops.linear_cross_entropy import ChunkSteps, chunk_by_chunk, rows_at_a_time
from scratchgrad.ops.loss import Reduction
from scratchgrad.packed_weights import packed
from scratchgrad.threads import parallel_map, tiles

Slopes = tuple[Array, list[Any]]  # of a chunk's logits, in bf16; the sums of their columns by tile, not rounded
FEWEST, MOST = 64, 16  # a block of a product has at least so many rows; there are at most so many blocks
TILE = 1 << 18  # elements that are rounded, or logits that are made, at a time
SHORTEST = 32  # rows at least of such logits, so that the product is worth reading the weights for


@cache
def multiplier() -> Any:
    """The module that multiplies here. UserError where none is installed."""
    if find_spec("llvmlite") is not None:
        avx512 = import_module("scratchgrad.kernels.cpu.bf16_avx512")
        if avx512.is_the_fastest():
            return avx512
    if find_spec("numkong") is not None:
        return import_module("scratchgrad.kernels.cpu.bf16_numkong")
    raise UserError("precision bf16 needs numkong: install scratchgrad[fast], or use precision float32")


@kernel("linear", "cpu", "bf16")
def linear(x: Array, weight: Array, bias: Array | None = None) -> KernelResult:
    if not _fits(x, weight):
        return NotImplemented
    shape, by = x.shape, multiplier()
    rows = rounded(as_rows(x))
    out = product(by.left(rows), packed(weight, pack), len(rows), len(weight))
    if bias is not None:
        out += bias

    def backward(grad: Array) -> tuple[Callable[[], Array], Callable[[], Array], Array]:
        slopes = rounded(as_rows(grad))

        def of_x() -> Array:
            return product(by.left(slopes), packed(weight, pack_transposed), *rows.shape).reshape(shape)

        def of_weight() -> Array:
            return product(by.left(slopes, transposed=True), by.right(rows, transposed=True), *weight.shape)

        return of_x, of_weight, grad

    return out.reshape(*shape[:-1], weight.shape[0]), backward


@kernel("swiglu_feed_forward", "cpu", "bf16")
def swiglu_feed_forward(
    x: Array, gate_up: Array, down: Array, *, needs_input_grad: tuple[bool, ...]
) -> tuple[Array, Backward]:
    """Not in tiles, whose weights would be rounded for each."""
    return in_three_steps(x, gate_up, down, needs_input_grad)


@kernel("linear_cross_entropy", "cpu", "bf16")
def linear_cross_entropy(
    x: Array,
    weight: Array,
    targets: Array,
    bias: Array | None = None,
    *,
    ignore_index: int = IGNORE_INDEX,
    label_smoothing: float = 0.0,
    z_loss: float = 0.0,
    reduction: Reduction = "sum",
    needs_input_grad: tuple[bool, ...],
) -> KernelResult:
    """As the specification. A tile's logits are made, turned into their slopes and rounded before the next tile's."""
    if not _fits(x, weight):
        return NotImplemented
    by, vocabulary, ids = multiplier(), len(weight), targets.reshape(-1)
    rows, table = rounded(as_rows(x)), packed(weight, pack)
    loss = partial(softmax_minus_target, ignore_index=ignore_index, label_smoothing=label_smoothing, z_loss=z_loss)
    needs_x, needs_weight, _, needs_bias = needs_input_grad

    def losses_and_slopes(chunk: slice, grad: Array | None, needs_slopes: bool) -> tuple[Array, Slopes]:
        some, its_ids = rows[chunk], ids[chunk]
        needs_rounded = needs_slopes and (needs_x or needs_weight)
        slopes = np.empty((len(some) if needs_rounded else 0, vocabulary), bfloat16)

        def of_tile(tile: slice) -> tuple[Array, Array | None]:
            logits = np.empty((tile.stop - tile.start, vocabulary), np.float32)
            by.multiply(by.left(some[tile]), table, logits, slice(0, len(logits)))
            if bias is not None:
                logits += bias
            losses = loss(logits, its_ids[tile])
            if grad is not None:
                logits *= grad[tile, None]
            if needs_rounded:
                by.round_into(logits, slopes[tile])
            return losses, logits.sum(axis=0) if needs_slopes and needs_bias else None

        parts = parallel_map(of_tile, tiles(len(some), max(SHORTEST, TILE // vocabulary)))
        return np.concatenate([losses for losses, _ in parts]), (slopes, [sums for _, sums in parts])

    def grad_x(made: Slopes) -> Array:
        return product(by.left(made[0]), packed(weight, pack_transposed), len(made[0]), rows.shape[1])

    def plus_grad_weight(total: Array | None, made: Slopes, chunk: slice) -> Array:
        across = by.left(made[0], transposed=True)
        share = product(across, by.right(rows[chunk], transposed=True), *weight.shape)
        return share if total is None else np.add(total, share, out=total)

    def plus_grad_bias(total: Array, made: Slopes) -> None:
        for sums in made[1]:
            total += sums

    length = 2 * rows_at_a_time(vocabulary)  # half the bytes, twice the rows
    steps = ChunkSteps(length, losses_and_slopes, grad_x, plus_grad_weight, plus_grad_bias)
    return chunk_by_chunk(steps, x, weight, targets, ignore_index, reduction, needs_input_grad)


def product(a: Any, b: Any, rows: int, columns: int) -> Array:
    """a @ b.T (rows, columns) in float32, for operands that `multiplier()` has prepared."""
    out = np.empty((rows, columns), np.float32)
    multiply = multiplier().multiply
    parallel_map(lambda cut: multiply(a, b, out, cut), tiles(rows, max(FEWEST, -(-rows // (MOST * 64)) * 64)))
    return out


def pack(weight: Array) -> Any:
    return multiplier().right(rounded(weight))


def pack_transposed(weight: Array) -> Any:
    return multiplier().right(rounded(weight), transposed=True)


def rounded(x: Array) -> Array:
    """A float32 matrix in bf16: to the nearest, to even between two."""
    x = np.ascontiguousarray(x)
    out = np.empty(x.shape, bfloat16)
    round_into = multiplier().round_into
    parallel_map(lambda cut: round_into(x[cut], out[cut]), tiles(len(x), max(1, TILE // x.shape[1])))
    return out


def _fits(x: Array, weight: Array) -> bool:
    """Is this a product that bf16 is meant for? Of others, and of what is wrong, its kernels decline."""
    return bool(
        x.dtype == np.float32 == weight.dtype and x.shape[-1] == weight.shape[1] and x.size > 0 and weight.size > 0
    )
