"""Tables that tell a model where tokens stand. They are constants: what is learnt of them are embeddings of the rows.

Rotary positions turn queries and keys, and are an op of their own (rotary.py).
"""

import math

import numpy as np

from scratchgrad.tensor import Tensor


def sinusoidal_positions(length: int, width: int) -> Tensor:
    """(length, width) float32: sin and cos of position / 10000^(2i / width) in turn.

    Vaswani et al. 2017, section 3.5.
    """
    if width % 2:
        raise ValueError(f"sinusoidal_positions(): sines and cosines in pairs need an even width, not {width}")
    angles = np.outer(np.arange(length), 10000.0 ** (-np.arange(0, width, 2) / width))
    table = np.stack([np.sin(angles), np.cos(angles)], axis=-1)
    return Tensor(table.reshape(length, width).astype(np.float32))


def alibi_bias(heads: int, queries: int, keys: int) -> Tensor:
    """(heads, queries, keys) float32 to add to scores: -slope * distance (Press et al. 2022). Queries stand last.

    The slopes of n = 2^k heads are 2^(-8/n), 2^(-16/n), ...; of other counts, those of the power of two below, then
    every second one of the power of two above, as in the authors' code.
    """

    def slopes(count: int) -> list[float]:
        return [2 ** (-8 * (i + 1) / count) for i in range(count)]

    below = 2 ** int(math.log2(heads))
    each = np.array(slopes(below) + slopes(2 * below)[::2][: heads - below])
    distance = np.arange(keys) - np.arange(keys - queries, keys)[:, None]
    return Tensor((each[:, None, None] * -np.abs(distance)).astype(np.float32))


def relative_position_buckets(
    queries: int, keys: int, *, buckets: int = 32, max_distance: int = 128, bidirectional: bool = True
) -> Tensor:
    """(queries, keys) int64: the bucket of each key's distance from each query, for T5's relative bias.

    Queries stand last. Half of the buckets are for single distances, half for ranges that grow with the logarithm up to
    `max_distance` (Raffel et al. 2020, section 2.1). bidirectional: keys to the right have buckets of their own;
    otherwise they fall into bucket 0.
    """
    behind = np.arange(keys - queries, keys)[:, None] - np.arange(keys)  # how far the key lies to the left
    bucket = np.zeros(behind.shape, np.int64)
    if bidirectional:
        buckets //= 2
        bucket += (behind < 0) * buckets
        behind = np.abs(behind)
    else:
        behind = np.maximum(behind, 0)
    exact = buckets // 2
    far = np.log(np.maximum(behind, 1) / exact) / math.log(max_distance / exact) * (buckets - exact)
    bucket += np.where(behind < exact, behind, np.minimum(exact + far.astype(np.int64), buckets - 1))
    return Tensor(bucket)
