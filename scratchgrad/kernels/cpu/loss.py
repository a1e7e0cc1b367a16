"""Softmax and its gradient over the vocabulary, in place, a few rows at a time."""

import numpy as np

from scratchgrad.autograd import Backward
from scratchgrad.backend import Array
from scratchgrad.kernels.cpu.products import product
from scratchgrad.ops.loss import IGNORE, chunk_by_chunk, softmax_minus_target
from scratchgrad.tensor import kernel
from scratchgrad.threads import spread, tiles

TILE = 1 << 17  # logits: half a megabyte of float32, a quarter of a core's cache


@kernel("linear_cross_entropy", "cpu")
def linear_cross_entropy(
    x: Array, weight: Array, targets: Array, *, ignore_index: int = IGNORE, needs_grad: tuple[bool, ...]
) -> tuple[Array, Backward]:
    return chunk_by_chunk(x, weight, targets, ignore_index, needs_grad, _by_tiles, product)


def _by_tiles(logits: Array, ids: Array, ignore_index: int) -> Array:
    cuts = tiles(len(logits), max(1, TILE // logits.shape[1]))
    return np.concatenate(spread(lambda tile: softmax_minus_target(logits[tile], ids[tile], ignore_index), cuts))
