"""Rotary positions, one sequence of the batch at a time."""

import numpy as np

from scratchgrad.autograd import Backward
from scratchgrad.backend import Array
from scratchgrad.ops.rotary import rotary as specification
from scratchgrad.tensor import kernel
from scratchgrad.threads import spread

SMALL = 1 << 16  # elements: not worth the threads


@kernel("rotary", "cpu")
def rotary(x: Array, cos: Array, sin: Array, *, heads: int | None = None) -> tuple[Array, Backward]:
    half = x.shape[-1] // 2
    if x.size <= SMALL or cos.shape != (x.shape[-2], half):
        return specification.__wrapped__(x, cos, sin, heads=heads)  # type: ignore[attr-defined, no-any-return]
    batch, count = x.shape[:2]
    turned = count if heads is None else heads

    def turn(x: Array, sin: Array) -> Array:
        out = np.empty(x.shape, x.dtype)

        def of_sequence(b: int) -> None:
            left, right = x[b, :turned, :, :half], x[b, :turned, :, half:]
            out_left, out_right = out[b, :turned, :, :half], out[b, :turned, :, half:]
            np.multiply(left, cos, out=out_left)
            out_left -= right * sin
            np.multiply(right, cos, out=out_right)
            out_right += left * sin
            out[b, turned:] = x[b, turned:]

        spread(of_sequence, range(batch))
        return out

    return turn(x, sin), lambda grad: (turn(grad, -sin), None, None)
