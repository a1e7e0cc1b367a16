"""Rotary positions, a few texts of the batch at a time.

x * cos + swapped * sin, where `swapped` has the two halves of each head exchanged and the sine of the first half is
negative: whole heads lie next to each other then, and NumPy's loops are long. Halves would be loops of a few elements.
"""

import numpy as np

from scratchgrad.backend import Array
from scratchgrad.dispatch import KernelResult, kernel
from scratchgrad.ops.rotary import check_shapes
from scratchgrad.threads import parallel_map, tiles

SMALL = 1 << 16  # elements: not worth the threads
TILE = 1 << 18  # elements: fewer calls wait less for the GIL


@kernel("rotary", "cpu")
def rotary(x: Array, cos: Array, sin: Array, *, heads: int | None = None) -> KernelResult:
    if x.size <= SMALL:
        return NotImplemented
    check_shapes(x, cos, sin)
    batch, count, time, width = x.shape
    turned = count if heads is None else heads
    cuts = tiles(batch, max(1, TILE // (count * time * width)))

    def both_halves(left: Array, right: Array) -> Array:
        """The angles for each text of the batch: (batch, 1, time, width)."""
        return np.broadcast_to(np.concatenate([left, right], axis=-1), (batch, 1, time, width))

    def turn(x: Array, cos: Array, sin: Array, out: Array) -> Array:
        in_place = out.flags.c_contiguous

        def of_texts(some: slice) -> None:
            piece = out[some] if in_place else np.empty(x[some].shape, x.dtype)
            piece[...] = x[some]
            both = piece[:, :turned]
            swapped = np.empty(both.shape, both.dtype)
            in_halves = (len(both), turned, time, 2, width // 2)
            swapped.reshape(in_halves)[...] = both.reshape(in_halves)[:, :, :, ::-1]
            swapped *= sin[some]
            both *= cos[some]
            both += swapped
            if not in_place:
                out[some] = piece

        parallel_map(of_texts, cuts)
        return out

    cosines, dtype, by_token = both_halves(cos, cos), x.dtype, x.strides[2] > x.strides[1]

    def backward(grad: Array) -> tuple[Array, None, None]:
        """In x's order of axes in memory: then nobody copies to make rows of tokens out of it."""
        out = np.empty((batch, time, count, width), dtype).swapaxes(1, 2) if by_token else np.empty(grad.shape, dtype)
        return turn(grad, cosines, both_halves(sin, -sin), out), None, None

    return turn(x, cosines, both_halves(-sin, sin), np.empty(x.shape, dtype)), backward
