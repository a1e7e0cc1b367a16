"""Scaled dot-product attention (Vaswani et al. 2017, section 3.2.1), with grouped heads (Ainslie et al. 2023)."""

import math
from itertools import groupby
from typing import Any

from scratchgrad.autograd import Backward
from scratchgrad.backend import Array, array_module, device_of
from scratchgrad.dispatch import compute, op
from scratchgrad.ops.dropout import scale_of_kept
from scratchgrad.random import uniform


@op(takes="floats")
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
) -> tuple[Array, Backward]:
    """softmax(query @ key.T * scale + mask) @ value, head by head.

    query (batch, head, time, width); key (batch, group, past + time, width) and value (batch, group, past + time,
    value width), where `group` divides `head` and neighbouring query heads share a group. A batch of 1 is for all;
    all three may be without the axis of heads. mask broadcasts to (batch, head, time, past + time): booleans, or
    integers 0 and 1, say what may be seen; floats are added to the scores and get their gradient. Causal: query t
    sees the keys up to past + t. A query that sees nothing gets zeros. scale: 1 / sqrt(width) if None. dropout_p: the
    share of weights that is dropped. Returns (batch, head, time, value width). ValueError where shapes disagree.
    """
    if query.ndim == 3 or len({len(query), len(key), len(value)}) > 1:
        options = {"is_causal": is_causal, "scale": scale, "dropout_p": dropout_p, "needs_input_grad": needs_input_grad}
        return _in_four_axes(query, key, value, mask, options)
    mask = as_mask(mask)
    groups, total = check_shapes(query, key, value, mask, is_causal)
    batch, heads, time, width = query.shape
    scale = 1 / math.sqrt(width) if scale is None else scale
    scale_kept = scale_of_kept(dropout_p)
    xp = array_module(query)

    def grouped(x: Array) -> Array:  # the heads of one group stand below each other: one product for all of them
        return x.reshape(batch, groups, heads // groups * time, x.shape[-1])

    weights = xp.ascontiguousarray(grouped(query) @ key.swapaxes(-1, -2))
    weights *= scale
    scores = weights.reshape(batch, heads, time, total)  # the same memory, by heads
    if mask is not None:
        scores += xp.where(mask, 0, -math.inf).astype(scores.dtype) if mask.dtype == bool else mask
    if is_causal:
        scores += xp.triu(xp.full((time, total), -math.inf, scores.dtype), k=total - time + 1)
    if total:
        top = weights.max(axis=-1, keepdims=True)
        weights -= xp.where(top == -math.inf, 0, top)
    xp.exp(weights, out=weights)
    sums = weights.sum(axis=-1, keepdims=True)
    weights /= sums + (sums == 0)
    kept = None
    if dropout_p > 0:
        kept = (uniform(weights.shape, device_of(query)) >= dropout_p).astype(weights.dtype) * scale_kept

    def backward(grad: Array) -> tuple[Array, Array, Array, Array | None]:
        grad_out = grouped(grad)
        grad_weights = grad_out @ value.swapaxes(-1, -2)
        seen = weights
        if kept is not None:
            seen = weights * kept
            grad_weights *= kept
        grad_weights -= (grad_weights * weights).sum(axis=-1, keepdims=True)
        grad_weights *= weights
        grad_mask = grad_weights.reshape(batch, heads, time, total) if needs_input_grad[3] else None
        grad_scores = grad_weights * scale
        return (
            (grad_scores @ key).reshape(query.shape),
            grad_scores.swapaxes(-1, -2) @ grouped(query),
            seen.swapaxes(-1, -2) @ grad_out,
            grad_mask,
        )

    out = (weights if kept is None else weights * kept) @ value
    return out.reshape(batch, heads, time, value.shape[3]), backward


@op(takes="floats")
def ragged_attention(
    query: Array,
    key: Array,
    value: Array,
    mask: Array | None = None,
    *,
    lengths: Array,
    is_causal: bool = False,
    scale: float | None = None,
) -> tuple[Array, None]:
    """scaled_dot_product_attention() where rows have unlike numbers of keys: row i has its first lengths[i].

    query (batch, head, time, width); key and value (batch, group, capacity, width), as a key-value cache keeps them;
    lengths (batch,) integers up to capacity. mask broadcasts to (batch, head, time, max(lengths)) and is aligned at the
    end: its last column is for the last key of each row. Causal: a row's queries are the last of its keys.
    A row gets the bits that it gets alone, whatever stands behind its keys. It is for writing text: no gradient.
    Returns query's shape.
    """
    counts, mask = checked_lengths(query, key, lengths), as_mask(mask)
    out = array_module(query).empty((*query.shape[:3], value.shape[3]), query.dtype)
    options = {"is_causal": is_causal, "scale": scale, "needs_input_grad": (False,) * 4}
    for row, length in enumerate(counts):
        one = slice(row, row + 1)
        seen = aligned(mask, one, length)
        keys, values = key[one, :, :length], value[one, :, :length]
        out[one], _ = compute("scaled_dot_product_attention", query[one], keys, values, seen, **options)
    return out, None


def checked_lengths(query: Array, key: Array, lengths: Array) -> list[int]:
    """lengths; ValueError where they do not fit to the rows or to the room for keys."""
    counts: list[int] = lengths.tolist()
    if len(counts) != len(query) or min(counts, default=0) < 0 or max(counts, default=0) > key.shape[2]:
        raise ValueError(f"lengths must be {len(query)} numbers from 0 to {key.shape[2]}, not {counts}")
    return counts


def aligned(mask: Array | None, rows: slice, length: int) -> Array | None:
    """What `ragged_attention`'s mask says of these rows' keys, of which there are `length`."""
    if mask is None:
        return None
    some = mask[rows] if mask.ndim == 4 and len(mask) > 1 else mask
    return some if mask.shape[-1] == 1 else some[..., mask.shape[-1] - length :]


def runs(lengths: list[int]) -> list[tuple[slice, int]]:
    """Neighbouring rows of one length: (rows, length)."""
    found, start = [], 0
    for length, rows in groupby(lengths):
        end = start + len(list(rows))
        found.append((slice(start, end), length))
        start = end
    return found


def _in_four_axes(
    query: Array, key: Array, value: Array, mask: Array | None, options: dict[str, Any]
) -> tuple[Array, Backward]:
    """With an axis for one head where there is none, and one batch for all: the engine sums what was stretched."""
    xp, no_heads = array_module(query), query.ndim == 3
    if not query.ndim == key.ndim == value.ndim:
        raise ValueError("query, key and value must all have an axis of heads, (batch, head, time, width), or none")
    lengths = {len(x) for x in (query, key, value)} - {1}
    if len(lengths) > 1:
        raise ValueError("the batches of query, key and value must be equal, or 1")
    batch = lengths.pop() if lengths else 1

    def with_heads(x: Array) -> Array:
        x = x[:, None] if no_heads else x
        return xp.broadcast_to(x, (batch, *x.shape[1:]))

    by_texts = mask is not None and mask.ndim == 3 and no_heads
    masks = mask[:, None] if mask is not None and by_texts else mask
    tensors = (with_heads(query), with_heads(key), with_heads(value), masks)
    out, backward_of_heads = compute("scaled_dot_product_attention", *tensors, **options)
    if not no_heads:
        return out, backward_of_heads

    def backward(grad: Array) -> tuple[Array | None, ...]:
        *grads, grad_mask = backward_of_heads(grad[:, None])
        return *(each[:, 0] for each in grads), grad_mask[:, 0] if by_texts and grad_mask is not None else grad_mask

    return out[:, 0], backward


def as_mask(mask: Array | None) -> Array | None:
    """Integers, 0 and 1 as in Hugging Face's `attention_mask`, as booleans."""
    return mask.astype(bool) if mask is not None and mask.dtype.kind in "iu" else mask


def check_shapes(query: Array, key: Array, value: Array, mask: Array | None, is_causal: bool) -> tuple[int, int]:
    """(groups, keys), or an error that names the axis that disagrees."""
    if not query.ndim == key.ndim == value.ndim == 4:
        raise ValueError("query, key and value must be (batch, head, time, width), or all (batch, time, width)")
    batch, heads, time, width = query.shape
    if key.shape[:3] != value.shape[:3] or key.shape[0] != batch or key.shape[3] != width:
        raise ValueError("key must have query's batch and width, and value must have key's shape but for its width")
    groups, total = key.shape[1:3]
    wanted = (batch, heads, time, total)
    if mask is not None:
        fits = mask.ndim <= 4 and all(m in (1, n) for m, n in zip(mask.shape[::-1], wanted[::-1], strict=False))
        if not fits:
            raise ValueError(
                f"mask must fit (batch, head, time, keys) = {wanted}, and it is {mask.shape}; write "
                "mask[:, None, None, :] for one of (batch, keys) and mask[:, None] for one of (batch, time, keys)"
            )
    if groups == 0 or heads % groups:
        raise ValueError(f"the {groups} heads of key and value must divide the {heads} heads of query")
    if is_causal and total < time:
        raise ValueError(f"{time} queries need {time} keys or more, as they are the last positions; there are {total}")
    return groups, total
