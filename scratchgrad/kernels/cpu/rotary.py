"""Rotary positions, one sequence of the batch at a time."""

import numpy as np

from scratchgrad.autograd import Backward
from scratchgrad.backend import Array
from scratchgrad.ops.rotary import check_shapes
from scratchgrad.ops.rotary import rotary as specification
from scratchgrad.tensor import kernel
from scratchgrad.threads import spread

SMALL = 1 << 16  # elements: not worth the threads


@kernel("rotary", "cpu")
def rotary(x: Array, cos: Array, sin: Array, *, heads: int | None = None) -> tuple[Array, Backward]:
    if x.size <= SMALL:
        return specification.__wrapped__(x, cos, sin, heads=heads)  # type: ignore[attr-defined, no-any-return]
    check_shapes(x, cos, sin)
    batch, count, _, width = x.shape
    half, turned = width // 2, count if heads is None else heads

    def by_sequence(angles: Array) -> Array:
        return np.broadcast_to(angles, (batch, 1, *angles.shape[-2:]))[:, 0]

    def turn(x: Array, cos: Array, sin: Array) -> Array:
        out = np.empty(x.shape, x.dtype)

        def of_sequence(b: int) -> None:
            left, right = x[b, :turned, :, :half], x[b, :turned, :, half:]
            out_left, out_right = out[b, :turned, :, :half], out[b, :turned, :, half:]
            np.multiply(left, cos[b], out=out_left)
            out_left -= right * sin[b]
            np.multiply(right, cos[b], out=out_right)
            out_right += left * sin[b]
            out[b, turned:] = x[b, turned:]

        spread(of_sequence, range(batch))
        return out

    cos, sin = by_sequence(cos), by_sequence(sin)
    return turn(x, cos, sin), lambda grad: (turn(grad, cos, -sin), None, None)
