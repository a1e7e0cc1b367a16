"""Scaled dot-product attention (Vaswani et al. 2017, section 3.2.1), with grouped heads (Ainslie et al. 2023)."""

import math

from scratchgrad.autograd import Backward
from scratchgrad.backend import Array, array_module
from scratchgrad.tensor import op


@op
def scaled_dot_product_attention(
    query: Array, key: Array, value: Array, *, is_causal: bool = False, scale: float | None = None
) -> tuple[Array, Backward]:
    """softmax(query @ key.T * scale) @ value, head by head.

    query (batch, head, time, width); key and value (batch, group, past + time, width), where `group` divides `head` and
    neighbouring query heads share a group. Causal: query t sees the keys up to past + t. scale: 1 / sqrt(width) if
    None. Returns query's shape.
    """
    batch, _, time, width = query.shape
    groups, total = check_shapes(query, key, value)
    scale = 1 / math.sqrt(width) if scale is None else scale
    xp = array_module(query)

    def grouped(x: Array) -> Array:  # the heads of one group stand below each other: one product for all of them
        return x.reshape(batch, groups, -1, x.shape[-1])

    weights = grouped(query) @ key.swapaxes(-1, -2)
    weights *= scale
    if is_causal:
        scores = weights.reshape(batch, groups, -1, time, total)
        scores += xp.triu(xp.full((time, total), -math.inf, weights.dtype), k=total - time + 1)
    weights -= weights.max(axis=-1, keepdims=True)
    xp.exp(weights, out=weights)
    weights /= weights.sum(axis=-1, keepdims=True)

    def backward(grad: Array) -> tuple[Array, Array, Array]:
        grad_out = grouped(grad)
        grad_weights = grad_out @ value.swapaxes(-1, -2)
        grad_weights -= (grad_weights * weights).sum(axis=-1, keepdims=True)
        grad_weights *= weights
        grad_weights *= scale
        return (
            (grad_weights @ key).reshape(query.shape),
            grad_weights.swapaxes(-1, -2) @ grouped(query),
            weights.swapaxes(-1, -2) @ grad_out,
        )

    return (weights @ value).reshape(query.shape), backward


def check_shapes(query: Array, key: Array, value: Array) -> tuple[int, int]:
    """(groups, keys), or an error that names the axis that disagrees."""
    batch, heads, time, width = query.shape
    if key.shape != value.shape or key.shape[0] != batch or key.shape[3] != width:
        raise ValueError("key and value must have one shape, and query's batch and width")
    groups, total = key.shape[1:3]
    if heads % groups:
        raise ValueError(f"the {groups} heads of key and value must divide the {heads} heads of query")
    if total < time:
        raise ValueError(f"{time} queries need {time} keys or more, as they are the last positions; there are {total}")
    return groups, total
