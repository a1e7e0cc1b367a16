"""SwiGLU by row tiles."""

import numpy as np

from scratchgrad.backend import Array
from scratchgrad.batch_invariance import is_batch_invariant
from scratchgrad.dispatch import KernelResult, kernel
from scratchgrad.threads import parallel_map, tiles

TILE = 1 << 17  # elements


@kernel("swiglu", "cpu")
def swiglu(x: Array) -> KernelResult:
    if is_batch_invariant() or x.size <= TILE or x.shape[-1] % 2:
        return NotImplemented
    shape, width = x.shape, x.shape[-1] // 2
    rows = x.reshape(-1, 2 * width)
    cuts = tiles(len(rows), max(1, TILE // width))
    out = np.empty((len(rows), width), x.dtype)

    def forward(tile: slice) -> None:
        silu, _ = silu_and_twice_sigmoid(rows[tile, :width])
        np.multiply(silu, rows[tile, width:], out=out[tile])

    parallel_map(forward, cuts)

    def backward(grad: Array) -> tuple[Array]:
        grad_rows = grad.reshape(-1, width)
        grad_x = np.empty_like(rows)

        def of_tile(tile: slice) -> None:
            silu, twice = silu_and_twice_sigmoid(rows[tile, :width])
            slopes(grad_rows[tile], silu, twice, rows[tile, width:], grad_x[tile])

        parallel_map(of_tile, cuts)
        return (grad_x.reshape(shape),)

    return out.reshape(*shape[:-1], width), backward


def silu_and_twice_sigmoid(gate: Array) -> tuple[Array, Array]:
    """gate * s and 2 * s, where s = sigmoid(gate) = (1 + tanh(gate / 2)) / 2."""
    silu = gate * 0.5
    twice = np.tanh(silu)
    twice += 1
    silu *= twice
    return silu, twice


def slopes(grad: Array, silu: Array, twice: Array, up: Array, out: Array) -> None:
    """The gradients of gate and of up, side by side in `out`; `silu` and `twice` sigmoid are used up."""
    width = grad.shape[1]
    np.multiply(grad, silu, out=out[:, width:])
    # d silu / d gate = s * (1 + gate * (1 - s)) = s + silu * (1 - s) = silu - s * (silu - 1)
    twice *= 0.5
    twice *= silu - 1
    silu -= twice
    silu *= up
    np.multiply(silu, grad, out=out[:, :width])
