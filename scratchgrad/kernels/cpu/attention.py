"""Attention a few heads at a time: their weights stay in a core's cache from the first operation to the last."""

import math

import numpy as np

from scratchgrad.autograd import Backward
from scratchgrad.backend import Array
from scratchgrad.ops.attention import check_shapes
from scratchgrad.ops.attention import scaled_dot_product_attention as specification
from scratchgrad.tensor import kernel
from scratchgrad.threads import spread, tiles

TILE = 1 << 18  # weights: a megabyte of float32


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
    """As the specification, but the softmax is divided by its sum where that is cheap: in (time, width).

    With e = exp(score - max), s = its row sums and g = grad / s, the value is e @ value / s, and the gradient of the
    scores, which is that of the mask, is e * (g @ value.T - rowsum(g * out)).
    """
    if dropout_p > 0:
        whole = specification.__wrapped__  # type: ignore[attr-defined]
        options = {"is_causal": is_causal, "scale": scale, "dropout_p": dropout_p, "needs_grad": needs_grad}
        return whole(query, key, value, mask, **options)  # type: ignore[no-any-return]
    batch, heads, time, width = query.shape
    groups, total = check_shapes(query, key, value, is_causal)
    share = heads // groups
    scale = 1 / math.sqrt(width) if scale is None else scale
    if time == 1 and total and not any(needs_grad):
        return spread(lambda _: _one_query(query, key, value, mask, scale), [0])[0], None  # BLAS on one thread
    added = []  # to the scores, each as wide as they are, without being so in memory
    if mask is not None:
        numbers = np.where(mask, 0, -math.inf).astype(query.dtype) if mask.dtype == bool else mask
        added.append(np.broadcast_to(numbers, (batch, heads, time, total)))
    if is_causal:
        later = np.triu(np.full((time, total), -math.inf, query.dtype), k=total - time + 1)
        added.append(np.broadcast_to(later, (batch, heads, time, total)))
    exponentials = np.empty((batch, groups, share * time, total), query.dtype)
    sums = np.empty((batch, groups, share * time, 1), query.dtype)
    out = np.empty((batch, groups, share * time, width), query.dtype)
    ones = np.ones((total, 1), query.dtype)
    places = [(b, cut) for b in range(batch) for cut in tiles(groups, max(1, TILE // (share * time * total)))]

    def by_heads(x: Array, b: int, cut: slice) -> Array:
        """What belongs to the query heads of these groups: (heads, time, ...)."""
        return x[b, cut.start * share : cut.stop * share]

    def stacked(x: Array, b: int, cut: slice) -> Array:
        """The query heads of a group below each other: (groups, share * time, width)."""
        return by_heads(x, b, cut).reshape(-1, share * time, width)

    def forward(place: tuple[int, slice]) -> None:
        b, cut = place
        e = exponentials[place]
        np.matmul(stacked(query, b, cut) * scale, key[place].swapaxes(-1, -2), out=e)
        by_head = e.reshape(-1, time, total)
        for numbers in added:
            by_head += by_heads(numbers, b, cut)
        top = e.max(axis=-1, keepdims=True, initial=-math.inf)
        top[top == -math.inf] = 0  # of a query that sees nothing: its exponentials are 0, and so is their sum
        e -= top
        np.exp(e, out=e)
        np.matmul(e, ones, out=sums[place])
        sums[place] += sums[place] == 0
        np.matmul(e, value[place], out=out[place])
        out[place] /= sums[place]

    spread(forward, places)

    def backward(grad: Array) -> tuple[Array, Array, Array, Array | None]:
        grad_query = np.empty((batch, groups, share * time, width), query.dtype)
        grad_key, grad_value = np.empty(key.shape, key.dtype), np.empty(value.shape, value.dtype)
        grad_mask = np.empty(exponentials.shape, query.dtype) if needs_grad[3] else None

        def of_place(place: tuple[int, slice]) -> None:
            b, cut = place
            e, g = exponentials[place], stacked(grad, b, cut) / sums[place]
            np.matmul(e.swapaxes(-1, -2), g, out=grad_value[place])
            kept = None if grad_mask is None else grad_mask[place]
            grad_scores = np.matmul(g, value[place].swapaxes(-1, -2), out=kept)
            grad_scores -= np.einsum("gij,gij->gi", g, out[place])[..., None]
            grad_scores *= e
            np.matmul(grad_scores, key[place], out=grad_query[place])
            grad_query[place] *= scale
            np.matmul(grad_scores.swapaxes(-1, -2), stacked(query, b, cut) * scale, out=grad_key[place])

        spread(of_place, places)
        return (
            grad_query.reshape(query.shape),
            grad_key,
            grad_value,
            None if grad_mask is None else grad_mask.reshape(batch, heads, time, total),
        )

    return out.reshape(query.shape), backward


def _one_query(query: Array, key: Array, value: Array, mask: Array | None, scale: float) -> Array:
    """The next token of each text: so little work that few calls are all that counts. No key lies ahead of it."""
    batch, heads, _, width = query.shape
    groups, total = key.shape[1:3]
    weights = (query.reshape(batch, groups, -1, width) * scale) @ key.swapaxes(-1, -2)
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
