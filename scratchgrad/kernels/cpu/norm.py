"""RMS norm by row tiles."""

import numpy as np

from scratchgrad.autograd import Backward
from scratchgrad.backend import Array
from scratchgrad.ops.norm import rms_norm as specification
from scratchgrad.tensor import kernel
from scratchgrad.threads import spread, tiles

TILE = 1 << 17  # elements


@kernel("rms_norm", "cpu")
def rms_norm(x: Array, gain: Array, *, eps: float = 1e-6) -> tuple[Array, Backward]:
    if x.size <= TILE or gain.ndim != 1:
        return specification.__wrapped__(x, gain, eps=eps)  # type: ignore[attr-defined, no-any-return]
    shape, width = x.shape, x.shape[-1]
    rows = x.reshape(-1, width)
    cuts = tiles(len(rows), max(1, TILE // width))
    scale = np.empty((len(rows), 1), x.dtype)
    out = np.empty_like(rows)

    def forward(tile: slice) -> None:
        mean_square = np.einsum("ij,ij->i", rows[tile], rows[tile])[:, None]
        mean_square /= width
        mean_square += eps
        np.divide(1, np.sqrt(mean_square), out=scale[tile])
        np.multiply(rows[tile], scale[tile], out=out[tile])
        out[tile] *= gain

    spread(forward, cuts)

    def backward(grad: Array) -> tuple[Array, Array]:
        grad_rows = grad.reshape(-1, width)
        grad_x = np.empty_like(rows)

        def of_tile(tile: slice) -> Array:
            normed = rows[tile] * scale[tile]
            inner, piece = grad_x[tile], grad_rows[tile]
            np.multiply(piece, gain, out=inner)
            along = np.einsum("ij,ij->i", inner, normed)[:, None] / width
            grad_gain = np.einsum("ij,ij->j", piece, normed)
            normed *= along
            inner -= normed
            inner *= scale[tile]
            return grad_gain

        grad_gain = np.zeros_like(gain)
        for part in spread(of_tile, cuts):
            grad_gain += part
        return grad_x.reshape(shape), grad_gain

    return out.reshape(shape), backward
