"""Norms by row tiles."""

import numpy as np

from scratchgrad.backend import Array, sum_over
from scratchgrad.batch_invariance import is_batch_invariant
from scratchgrad.dispatch import KernelResult, kernel
from scratchgrad.threads import parallel_map, tiles

TILE = 1 << 18  # elements


@kernel("rms_norm", "cpu")
def rms_norm(x: Array, weight: Array, *, eps: float = 1e-6) -> KernelResult:
    if is_batch_invariant() or x.size <= TILE or weight.shape != x.shape[-1:]:
        return NotImplemented
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
        out[tile] *= weight

    parallel_map(forward, cuts)

    def backward(grad: Array) -> tuple[Array, Array]:
        grad_rows = grad.reshape(-1, width)
        grad_x = np.empty_like(rows)

        def of_tile(tile: slice) -> Array:
            normed = rows[tile] * scale[tile]
            inner, piece = grad_x[tile], grad_rows[tile]
            np.multiply(piece, weight, out=inner)
            along = np.einsum("ij,ij->i", inner, normed)[:, None] / width
            grad_weight = np.einsum("ij,ij->j", piece, normed)
            normed *= along
            inner -= normed
            inner *= scale[tile]
            return grad_weight

        return grad_x.reshape(shape), np.sum(parallel_map(of_tile, cuts), axis=0)

    return out.reshape(shape), backward


@kernel("layer_norm", "cpu")
def layer_norm(x: Array, weight: Array, bias: Array | None = None, *, eps: float = 1e-5) -> KernelResult:
    fits = all(a is None or a.shape == x.shape[-1:] for a in (weight, bias))
    if is_batch_invariant() or x.size <= TILE or not fits:
        return NotImplemented
    shape, width = x.shape, x.shape[-1]
    rows = x.reshape(-1, width)
    cuts = tiles(len(rows), max(1, TILE // width))
    mean, scale = np.empty((len(rows), 1), x.dtype), np.empty((len(rows), 1), x.dtype)
    out = np.empty_like(rows)

    def forward(tile: slice) -> None:
        piece = out[tile]
        rows[tile].mean(axis=-1, keepdims=True, out=mean[tile])
        np.subtract(rows[tile], mean[tile], out=piece)
        mean_square = np.einsum("ij,ij->i", piece, piece)[:, None]
        mean_square /= width
        mean_square += eps
        np.divide(1, np.sqrt(mean_square), out=scale[tile])
        piece *= scale[tile]
        piece *= weight
        if bias is not None:
            piece += bias

    parallel_map(forward, cuts)

    def backward(grad: Array) -> tuple[Array, Array, Array]:
        grad_rows = grad.reshape(-1, width)
        grad_x = np.empty_like(rows)

        def of_tile(tile: slice) -> tuple[Array, Array]:
            normed = rows[tile] - mean[tile]
            normed *= scale[tile]
            inner, piece = grad_x[tile], grad_rows[tile]
            np.multiply(piece, weight, out=inner)
            along = np.einsum("ij,ij->i", inner, normed)[:, None] / width
            shift = inner.mean(axis=-1, keepdims=True)
            grad_weight, grad_bias = np.einsum("ij,ij->j", piece, normed), sum_over(piece, 0)
            normed *= along
            inner -= normed
            inner -= shift
            inner *= scale[tile]
            return grad_weight, grad_bias

        of_tiles = parallel_map(of_tile, cuts)
        grad_weight, grad_bias = (np.sum(parts, axis=0) for parts in zip(*of_tiles, strict=True))
        return grad_x.reshape(shape), grad_weight, grad_bias

    return out.reshape(shape), backward
