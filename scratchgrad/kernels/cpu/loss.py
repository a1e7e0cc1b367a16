"""Softmax and its gradient over the vocabulary, in place, a few rows at a time."""

import numpy as np

from scratchgrad.autograd import Backward
from scratchgrad.backend import Array
from scratchgrad.dispatch import kernel
from scratchgrad.kernels.cpu.products import plus_product, product
from scratchgrad.ops.cross_entropy import IGNORE_INDEX, softmax_minus_target
from scratchgrad.ops.linear_cross_entropy import chunk_by_chunk, chunk_steps
from scratchgrad.ops.loss import Reduction
from scratchgrad.threads import parallel_map, tiles

TILE = 1 << 17  # logits: half a megabyte of float32, a quarter of a core's cache


@kernel("linear_cross_entropy", "cpu")
def linear_cross_entropy(
    x: Array,
    weight: Array,
    targets: Array,
    bias: Array | None = None,
    *,
    ignore_index: int = IGNORE_INDEX,
    label_smoothing: float = 0.0,
    z_loss: float = 0.0,
    reduction: Reduction = "sum",
    needs_input_grad: tuple[bool, ...],
) -> tuple[Array, Backward]:
    def by_tiles(logits: Array, ids: Array) -> Array:
        def of_tile(tile: slice) -> Array:
            return softmax_minus_target(logits[tile], ids[tile], ignore_index, label_smoothing, z_loss)

        return np.concatenate(parallel_map(of_tile, tiles(len(logits), max(1, TILE // logits.shape[1]))))

    steps = chunk_steps(x, weight, targets, bias, by_tiles, product, plus_product)
    return chunk_by_chunk(steps, x, weight, targets, ignore_index, reduction, needs_input_grad)
