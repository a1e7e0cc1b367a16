"""A SwiGLU feed-forward by tiles of rows: what is between its products stays in a core's cache."""

import math

import numpy as np

from scratchgrad.backend import Array
from scratchgrad.batch_invariance import is_batch_invariant
from scratchgrad.dispatch import KernelResult, kernel
from scratchgrad.kernels.cpu.swiglu import silu_and_twice_sigmoid, slopes
from scratchgrad.ops.feed_forward import check_shapes
from scratchgrad.ops.linalg import as_rows
from scratchgrad.threads import parallel_map, tiles

ROWS, MOST = 512, 16  # a tile has at least so many rows; there are at most so many, each with gradients of the weights
LARGEST = 1 << 18  # numbers in the weights: larger ones are in no cache, and nothing is won


@kernel("swiglu_feed_forward", "cpu")
def swiglu_feed_forward(x: Array, gate_up: Array, down: Array, *, needs_input_grad: tuple[bool, ...]) -> KernelResult:
    check_shapes(x, gate_up, down)
    count = min(MOST, math.prod(x.shape[:-1]) // ROWS)
    if is_batch_invariant() or count < 2 or gate_up.size + down.size > LARGEST:
        return NotImplemented
    rows, width = as_rows(x), down.shape[1]
    count = 1 << (count.bit_length() - 1)  # a power of two, so that threads have the same work
    cuts = tiles(len(rows), -(-len(rows) // count))
    both = np.empty((len(rows), 2 * width), x.dtype)
    out = np.empty((len(rows), len(down)), x.dtype)

    def forward(tile: slice) -> None:
        np.matmul(rows[tile], gate_up.T, out=both[tile])
        hidden, _ = silu_and_twice_sigmoid(both[tile, :width])
        hidden *= both[tile, width:]
        np.matmul(hidden, down.T, out=out[tile])

    parallel_map(forward, cuts)

    def backward(grad: Array) -> tuple[Array | None, ...]:
        needs_x, needs_gate_up, needs_down = needs_input_grad
        grad_rows = as_rows(grad)
        grad_x = np.empty_like(rows) if needs_x else None
        of_gate_up = [np.empty_like(gate_up) for _ in cuts] if needs_gate_up else []
        of_down = [np.empty_like(down) for _ in cuts] if needs_down else []

        def of_tile(number: int) -> None:
            tile = cuts[number]
            up = both[tile, width:]
            silu, twice = silu_and_twice_sigmoid(both[tile, :width])
            if of_down:
                np.matmul(grad_rows[tile].T, silu * up, out=of_down[number])
            grad_both = np.empty((len(up), 2 * width), both.dtype)
            slopes(grad_rows[tile] @ down, silu, twice, up, grad_both)
            if grad_x is not None:
                np.matmul(grad_both, gate_up, out=grad_x[tile])
            if of_gate_up:
                np.matmul(grad_both.T, rows[tile], out=of_gate_up[number])

        parallel_map(of_tile, range(len(cuts)))
        return (
            None if grad_x is None else grad_x.reshape(x.shape),
            _sum(of_gate_up) if of_gate_up else None,
            _sum(of_down) if of_down else None,
        )

    return out.reshape(*x.shape[:-1], len(down)), backward


def _sum(parts: list[Array]) -> Array:
    """In the order of tiles, in the first."""
    total, *rest = parts
    for part in rest:
        total += part
    return total
