"""Attention a few heads and a block of queries at a time. Scores live in a core's cache, and nowhere else.

What is kept for the backward pass is, of each query, one number: the logarithm of the sum of its exponentials, from
which the weights are made again (Dao et al. 2022, "FlashAttention", section 3.1).
"""

import math

import numpy as np

from scratchgrad.autograd import Backward
from scratchgrad.backend import Array
from scratchgrad.ops.attention import check_shapes
from scratchgrad.ops.attention import scaled_dot_product_attention as specification
from scratchgrad.tensor import kernel
from scratchgrad.threads import spread, tiles

BLOCK = 64  # queries; a causal block skips the keys behind its last query
TILE = 1 << 17  # scores: half a megabyte of float32


@kernel("scaled_dot_product_attention", "cpu")
def scaled_dot_product_attention(
    query: Array,
    key: Array,
    value: Array,
    mask: Array | None = None,
    *,
    is_causal: bool = False,
    scale: float | None = None,
    dropout_p: float = 0.0,
    needs_grad: tuple[bool, ...],
) -> tuple[Array, Backward | None]:
    """As the specification, with less in memory.

    With s the scores, m their maximum and l = m + log(sum(e^(s - m))), the weights are w = e^(s - l). The gradient of
    the scores, which is that of the mask, is w * (grad @ value.T - rowsum(grad * out)). In both differences what is
    taken away is one number a row; a product does that, too, where left has it as one more column and right has ones.
    """
    if dropout_p > 0:
        whole = specification.__wrapped__  # type: ignore[attr-defined]
        options = {"is_causal": is_causal, "scale": scale, "dropout_p": dropout_p, "needs_grad": needs_grad}
        return whole(query, key, value, mask, **options)  # type: ignore[no-any-return]
    batch, heads, time, width = query.shape
    groups, total = check_shapes(query, key, value, is_causal)
    share, past, dtype = heads // groups, total - time, query.dtype
    scale = 1 / math.sqrt(width) if scale is None else scale
    if time == 1 and total and not any(needs_grad):
        return spread(lambda _: _one_query(query, key, value, mask, scale), [0])[0], None  # BLAS on one thread
    added = None  # to the scores; as wide as they are, without being so in memory
    if mask is not None:
        numbers = np.where(mask, 0, -math.inf).astype(dtype) if mask.dtype == bool else mask
        added = np.broadcast_to(numbers, (batch, heads, time, total))
    later = np.triu(np.full((BLOCK, BLOCK), -math.inf, dtype), k=1)
    ones = np.ones((total, 1), dtype)
    out, logs = np.empty(query.shape, dtype), np.empty((batch, heads, time, 1), dtype)
    blocks = tiles(time, BLOCK)
    at_once = max(1, TILE // max(1, share * min(time, BLOCK) * total))
    places = [(b, cut) for b in range(batch) for cut in tiles(groups, at_once)]

    def stacked(x: Array, place: tuple[int, slice], block: slice) -> Array:
        """The query heads of a group below each other: (groups, share * queries, ...)."""
        b, cut = place
        some = x[b, cut.start * share : cut.stop * share, block]
        return some.reshape(-1, share * some.shape[1], some.shape[2])

    def put(x: Array, place: tuple[int, slice], block: slice, some: Array) -> None:
        """The way back: some (groups, share * queries, ...) becomes these heads and queries of x."""
        b, cut = place
        x[b, cut.start * share : cut.stop * share, block] = some.reshape(-1, block.stop - block.start, some.shape[2])

    def scores(left: Array, right: Array, place: tuple[int, slice], block: slice) -> Array:
        """left @ right.T with the masks: (groups, share * queries, keys)."""
        b, cut = place
        result = left @ right.swapaxes(-1, -2)
        queries, keys = block.stop - block.start, right.shape[1]
        by_head = result.reshape(-1, queries, keys)
        if added is not None:
            by_head += added[b, cut.start * share : cut.stop * share, block, :keys]
        if is_causal:
            by_head[..., past + block.start :] += later[:queries, :queries]
        return result

    def forward(place: tuple[int, slice]) -> None:
        for block in blocks:
            keys = past + block.stop if is_causal else total
            e = scores(stacked(query, place, block) * scale, key[place][:, :keys], place, block)
            top = e.max(axis=-1, keepdims=True, initial=-math.inf)
            top[top == -math.inf] = 0  # of a query that sees nothing: its exponentials are 0, and so is their sum
            e -= top
            np.exp(e, out=e)
            sums = e @ ones[:keys]
            sums += sums == 0
            some = e @ value[place][:, :keys]
            some /= sums
            put(out, place, block, some)
            put(logs, place, block, top + np.log(sums))

    spread(forward, places)

    def backward(grad: Array) -> tuple[Array, Array, Array, Array | None]:
        grad_query = np.empty(query.shape, dtype)
        grad_key, grad_value = np.empty(key.shape, dtype), np.empty(value.shape, dtype)
        grad_mask = np.zeros((batch, heads, time, total), dtype) if needs_grad[3] else None

        def of_place(place: tuple[int, slice]) -> None:
            and_one = np.broadcast_to(ones, (len(key[place]), total, 1))
            keys_and_one, values_and_one = (np.concatenate([x[place], and_one], axis=-1) for x in (key, value))
            grad_key[place] = 0
            grad_value[place] = 0
            for block in blocks:
                keys = past + block.stop if is_causal else total
                q, g = stacked(query, place, block) * scale, stacked(grad, place, block)
                lowered = np.concatenate([q, -stacked(logs, place, block)], axis=-1)
                weights = scores(lowered, keys_and_one[:, :keys], place, block)
                np.exp(weights, out=weights)
                grad_value[place][:, :keys] += weights.swapaxes(-1, -2) @ g
                along = np.einsum("gij,gij->gi", g, stacked(out, place, block))[..., None]
                grad_scores = np.concatenate([g, -along], axis=-1) @ values_and_one[:, :keys].swapaxes(-1, -2)
                grad_scores *= weights
                if grad_mask is not None:
                    put(grad_mask[..., :keys], place, block, grad_scores)
                grad_key[place][:, :keys] += grad_scores.swapaxes(-1, -2) @ q
                grad_scores = grad_scores @ key[place][:, :keys]
                grad_scores *= scale
                put(grad_query, place, block, grad_scores)

        spread(of_place, places)
        return grad_query, grad_key, grad_value, grad_mask

    return out, backward


def _one_query(query: Array, key: Array, value: Array, mask: Array | None, scale: float) -> Array:
    """The next token of each text: so little work that few calls are all that counts. No key lies ahead of it."""
    batch, heads, _, width = query.shape
    groups, total = key.shape[1:3]
    # Products take over the order of their operands' axes in memory; a view by heads needs the usual one.
    weights = np.ascontiguousarray((query.reshape(batch, groups, -1, width) * scale) @ key.swapaxes(-1, -2))
    if mask is not None:
        by_head = weights.reshape(batch, heads, 1, total)
        by_head += np.where(mask, 0, -math.inf).astype(query.dtype) if mask.dtype == bool else mask
    top = weights.max(axis=-1, keepdims=True)
    weights -= top if mask is None else np.where(top == -math.inf, 0, top)
    np.exp(weights, out=weights)
    sums = weights.sum(axis=-1, keepdims=True)
    out = weights @ value
    out /= sums if mask is None else sums + (sums == 0)
    return out.reshape(query.shape)
