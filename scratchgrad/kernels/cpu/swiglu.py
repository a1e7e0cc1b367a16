"""SwiGLU by row tiles."""

import numpy as np

from scratchgrad.autograd import Backward
from scratchgrad.backend import Array
from scratchgrad.ops.activation import swiglu as specification
from scratchgrad.tensor import kernel
from scratchgrad.threads import spread, tiles

TILE = 1 << 17  # elements


@kernel("swiglu", "cpu")
def swiglu(x: Array) -> tuple[Array, Backward]:
    if x.size <= TILE or x.shape[-1] % 2:
        return specification.__wrapped__(x)  # type: ignore[attr-defined, no-any-return]
    shape, width = x.shape, x.shape[-1] // 2
    rows = x.reshape(-1, 2 * width)
    cuts = tiles(len(rows), max(1, TILE // width))
    out = np.empty((len(rows), width), x.dtype)

    def sigmoid(gate: Array) -> Array:
        s = gate * 0.5
        np.tanh(s, out=s)
        s += 1
        s *= 0.5
        return s

    def forward(tile: slice) -> None:
        gate, up = rows[tile, :width], rows[tile, width:]
        s = sigmoid(gate)
        s *= gate
        np.multiply(s, up, out=out[tile])

    spread(forward, cuts)

    def backward(grad: Array) -> tuple[Array]:
        grad_rows = grad.reshape(-1, width)
        grad_x = np.empty_like(rows)

        def of_tile(tile: slice) -> None:
            gate, up = rows[tile, :width], rows[tile, width:]
            piece, grad_gate, grad_up = grad_rows[tile], grad_x[tile, :width], grad_x[tile, width:]
            s = sigmoid(gate)
            silu = gate * s
            np.multiply(piece, silu, out=grad_up)
            # d silu / d gate = s * (1 + gate * (1 - s)) = s + silu * (1 - s)
            np.subtract(1, s, out=grad_gate)
            grad_gate *= silu
            grad_gate += s
            grad_gate *= up
            grad_gate *= piece

        spread(of_tile, cuts)
        return (grad_x.reshape(shape),)

    return out.reshape(*shape[:-1], width), backward
