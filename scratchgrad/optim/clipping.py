"""The length of a gradient, and what to multiply it by so that it is not too long."""

from collections.abc import Iterable

import numpy as np

from scratchgrad.backend import Array, device_of
from scratchgrad.tensor import Tensor
from scratchgrad.threads import parallel_map, tiles

TILE = 1 << 16


def global_norm(arrays: Iterable[Array]) -> float:
    """The Euclidean norm of all elements of all arrays together, added up in float64 and in a fixed order."""
    return float(np.sqrt(sum(_sum_of_squares(array.reshape(-1)) for array in arrays)))


def clip_grad_norm_(parameters: Iterable[Tensor], max_norm: float) -> float:
    """Shorten the gradients in place to a global norm of at most `max_norm` (Pascanu et al. 2013); the norm before."""
    grads = [tensor.grad for tensor in parameters if tensor.grad is not None]
    norm = global_norm(grads)
    if norm > max_norm:
        for grad in grads:
            grad *= max_norm / norm
    return norm


def _sum_of_squares(flat: Array) -> float:
    if device_of(flat) == "cuda":
        return float((flat.astype(np.float64) ** 2).sum())
    return sum(parallel_map(lambda tile: float(np.square(flat[tile], dtype=np.float64).sum()), tiles(flat.size, TILE)))
