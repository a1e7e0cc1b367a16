"""Attention a few heads and a block of queries at a time. Scores live in a core's cache, and nowhere else.

What is kept for the backward pass is, of each query, one number: the logarithm of the sum of its exponentials, from
which the weights are made again (Dao et al. 2022, "FlashAttention", section 3.1).
"""

import math

import numpy as np

from scratchgrad.backend import Array
from scratchgrad.dispatch import KernelResult, kernel
from scratchgrad.ops.attention import check_shapes
from scratchgrad.threads import parallel_map, threads, tiles

Place = tuple[slice, slice]  # some texts of the batch, and some groups of heads
BLOCK = 64  # queries; a causal block skips the keys behind its last query
TILE = 1 << 18  # scores at once: a megabyte of float32
FEW = 1 << 18  # numbers in the keys that one query of each text looks at: not worth another thread


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
    needs_input_grad: tuple[bool, ...],
) -> KernelResult:
    """As the specification, with less in memory.

    With s the scores, m their maximum and l = m + log(sum(e^(s - m))), the weights are w = e^(s - l). The gradient of
    the scores, which is that of the mask, is w * (grad @ value.T - rowsum(grad * out)). In both differences what is
    taken away is one number a row; a product does that, too, where left has it as one more column and right has ones.
    """
    if dropout_p > 0:
        return NotImplemented
    batch, heads, time, width = query.shape
    groups, total = check_shapes(query, key, value, is_causal)
    share, past, dtype = heads // groups, total - time, query.dtype
    scale = 1 / math.sqrt(width) if scale is None else scale
    if time == 1 and total and not any(needs_input_grad):
        masks = None if mask is None else np.broadcast_to(mask, (batch, heads, 1, total))
        texts = tiles(batch, batch if key.size <= FEW else -(-batch // 2))  # more pieces would wait for the GIL
        parts = parallel_map(lambda cut: _one_query(query, key, value, masks, scale, cut), texts)
        return parts[0] if len(parts) == 1 else np.concatenate(parts), None
    added = None  # to the scores; as wide as they are, without being so in memory
    if mask is not None:
        numbers = np.where(mask, 0, -math.inf).astype(dtype) if mask.dtype == bool else mask
        added = np.broadcast_to(numbers, (batch, heads, time, total))
    later = np.triu(np.full((BLOCK, BLOCK), -math.inf, dtype), k=1)
    ones = np.ones((total, 1), dtype)
    out = np.empty((batch, time, heads, width), dtype).swapaxes(1, 2)  # rows of tokens, as the next product reads them
    logs = np.empty((batch, heads, time, 1), dtype)
    blocks = tiles(time, BLOCK)
    # Heads do not touch each other: how many are done at once changes no bits, and so may depend on the threads.
    at_once = min(TILE // max(1, share * min(time, BLOCK) * total), batch * groups // (2 * threads()))
    at_once = max(1, at_once)
    places = [(b, g) for b in tiles(batch, max(1, at_once // groups)) for g in tiles(groups, at_once)]

    def by_group(x: Array, place: Place) -> Array:
        """The heads of some texts: (texts, groups, share, ...), a view."""
        texts, cut = place
        some = x[texts, cut.start * share : cut.stop * share]
        return some.reshape(len(some), -1, share, *x.shape[2:])

    def stacked(x: Array, block: slice) -> Array:
        """The query heads of a group below each other: (texts, groups, share * queries, ...)."""
        some = x[:, :, :, block]
        return some.reshape(*some.shape[:2], -1, some.shape[-1])

    def put(x: Array, block: slice, some: Array) -> None:
        """The way back: some (texts, groups, share * queries, ...) becomes these queries of x."""
        x[:, :, :, block] = some.reshape(*x.shape[:3], -1, some.shape[-1])

    def scores(left: Array, right: Array, place: Place, block: slice) -> Array:
        """left @ right with the masks: (texts, groups, share * queries, keys)."""
        result = left @ right
        queries, keys = block.stop - block.start, right.shape[3]
        by_head = result.reshape(*result.shape[:2], share, queries, keys)
        if added is not None:
            by_head += by_group(added, place)[:, :, :, block, :keys]
        if is_causal:
            by_head[..., past + block.start :] += later[:queries, :queries]
        return result

    def forward(place: Place) -> None:
        queries, its_out, its_logs = by_group(query, place) * scale, by_group(out, place), by_group(logs, place)
        turned = np.ascontiguousarray(key[place].swapaxes(-1, -2))  # few columns times few rows: BLAS is faster so
        for block in blocks:
            keys = past + block.stop if is_causal else total
            some_see_nothing = added is not None or keys == 0  # perhaps: their exponentials are 0, and so is the sum
            e = scores(stacked(queries, block), turned[..., :keys], place, block)
            top = e.max(axis=-1, keepdims=True, initial=-math.inf)
            if some_see_nothing:
                top[top == -math.inf] = 0
            e -= top
            np.exp(e, out=e)
            sums = e @ ones[:keys]
            if some_see_nothing:
                sums += sums == 0
            some = e @ value[place][:, :, :keys]
            some /= sums
            put(its_out, block, some)
            put(its_logs, block, top + np.log(sums))

    parallel_map(forward, places)

    def backward(grad: Array) -> tuple[Array, Array, Array, Array | None]:
        grad_query = np.empty(query.shape, dtype)
        grad_key, grad_value = np.empty(key.shape, dtype), np.empty(value.shape, dtype)
        grad_mask = np.zeros((batch, heads, time, total), dtype) if needs_input_grad[3] else None

        def of_place(place: Place) -> None:
            keys_and_one, values_and_one = turned_and_one(key[place]), turned_and_one(value[place])
            of_out, its_query = by_group(grad, place), by_group(grad_query, place)
            queries = np.concatenate([by_group(query, place) * scale, -by_group(logs, place)], axis=-1)
            along = np.einsum("bgsij,bgsij->bgsi", of_out, by_group(out, place))[..., None]
            slopes = np.concatenate([of_out, -along], axis=-1)
            its_key, its_value = grad_key[place], grad_value[place]
            its_key[...] = its_value[...] = 0
            for block in blocks:
                keys = past + block.stop if is_causal else total
                q, g = stacked(queries, block), stacked(slopes, block)
                weights = scores(q, keys_and_one[..., :keys], place, block)
                np.exp(weights, out=weights)
                its_value[:, :, :keys] += weights.swapaxes(-1, -2) @ g[..., :-1]
                of_scores = g @ values_and_one[..., :keys]
                of_scores *= weights
                if grad_mask is not None:
                    put(by_group(grad_mask, place)[..., :keys], block, of_scores)
                its_key[:, :, :keys] += of_scores.swapaxes(-1, -2) @ q[..., :-1]
                put(its_query, block, of_scores @ key[place][:, :, :keys])
            its_query *= scale

        parallel_map(of_place, places)
        return grad_query, grad_key, grad_value, grad_mask

    return out, backward


def turned_and_one(x: Array) -> Array:
    """(..., keys, width) -> (..., width + 1, keys), of which the last row is ones."""
    *outer, keys, width = x.shape
    result = np.empty((*outer, width + 1, keys), x.dtype)
    result[..., :width, :] = x.swapaxes(-1, -2)
    result[..., width, :] = 1
    return result


def _one_query(query: Array, key: Array, value: Array, mask: Array | None, scale: float, texts: slice) -> Array:
    """The next token of some texts: so little work that few calls are all that counts. No key lies ahead of it."""
    query, key, value = query[texts], key[texts], value[texts]
    batch, heads, _, width = query.shape
    groups, total = key.shape[1:3]
    # Products take over the order of their operands' axes in memory; a view by heads needs the usual one.
    weights = np.ascontiguousarray((query.reshape(batch, groups, -1, width) * scale) @ key.swapaxes(-1, -2))
    if mask is not None:
        by_head = weights.reshape(batch, heads, 1, total)
        by_head += np.where(mask[texts], 0, -math.inf).astype(query.dtype) if mask.dtype == bool else mask[texts]
    top = weights.max(axis=-1, keepdims=True)
    weights -= top if mask is None else np.where(top == -math.inf, 0, top)
    np.exp(weights, out=weights)
    sums = weights.sum(axis=-1, keepdims=True)
    out = weights @ value
    out /= sums if mask is None else sums + (sums == 0)
    return out.reshape(query.shape)
