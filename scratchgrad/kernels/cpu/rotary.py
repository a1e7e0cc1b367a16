"""Rotary positions, one sequence of the batch at a time.

x * cos + swapped * sin, where `swapped` has the two halves of each head exchanged and the sine of the first half is
negative: whole heads lie next to each other then, and NumPy's loops are long. Halves would be loops of a few elements.
"""

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
    batch, count, time, width = x.shape
    turned = count if heads is None else heads

    def by_sequence(left: Array, right: Array) -> Array:
        """The angles of both halves, for each text of the batch: (batch, time, width)."""
        whole = np.concatenate([left, right], axis=-1)
        return np.broadcast_to(whole, (batch, 1, time, width))[:, 0]

    def turn(x: Array, cos: Array, sin: Array) -> Array:
        out = np.empty(x.shape, x.dtype)

        def of_sequence(b: int) -> None:
            out[b] = x[b]
            both = out[b, :turned]
            swapped = np.empty_like(both)
            in_halves = (turned, time, 2, width // 2)
            swapped.reshape(in_halves)[...] = both.reshape(in_halves)[:, :, ::-1]
            swapped *= sin[b]
            both *= cos[b]
            both += swapped

        spread(of_sequence, range(batch))
        return out

    cosines = by_sequence(cos, cos)
    return turn(x, cosines, by_sequence(-sin, sin)), lambda grad: (
        turn(grad, cosines, by_sequence(sin, -sin)),
        None,
        None,
    )
