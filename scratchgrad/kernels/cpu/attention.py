"""Attention a few heads and a block of queries at a time. Scores live in a core's cache, and nowhere else.

What is kept for the backward pass is, of each query, one number: the logarithm of the sum of its exponentials, from
which the weights are made again (Dao et al. 2022, "FlashAttention", section 3.1).
"""

import math
from typing import NamedTuple

import numpy as np

from scratchgrad.backend import Array
from scratchgrad.dispatch import KernelResult, compute, kernel
from scratchgrad.ops.attention import aligned, as_mask, check_shapes, checked_lengths, runs
from scratchgrad.threads import parallel_map, threads, tiles

Place = tuple[slice, slice]  # some texts of the batch, and some groups of heads
BLOCK = 64  # queries; a causal block skips the keys behind its last query
TILE = 1 << 18  # scores at once: a megabyte of float32
LARGEST = 1 << 12  # logarithm of a sum: of a larger one too few digits stand behind the point
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
    Where l is too large for that, the backward pass takes the maximum and the sum again.
    """
    if dropout_p != 0 or query.ndim != 4 or not len(query) == len(key) == len(value):
        return NotImplemented
    if not query.size or not key.size or not value.size:  # no queries, or nothing to look at
        return NotImplemented
    mask = as_mask(mask)
    _, total = check_shapes(query, key, value, mask, is_causal)
    batch, heads, time, width = query.shape
    scale = 1 / math.sqrt(width) if scale is None else scale
    if time == 1 and total and not any(needs_input_grad):
        masks = None if mask is None else np.broadcast_to(mask, (batch, heads, 1, total))

        def of_texts(cut: slice) -> Array:
            return _one_query(query[cut], key[cut], value[cut], None if masks is None else masks[cut], scale)

        parts = parallel_map(of_texts, _in_two(batch, key.size))
        return parts[0] if len(parts) == 1 else np.concatenate(parts), None
    dtype = query.dtype
    later = np.triu(np.full((BLOCK, BLOCK), -math.inf, dtype), k=1) if is_causal else None
    attention = Attention(query, key, value, added_to_scores(mask, query, total), later, scale)
    places = attention.places()
    by_token = np.empty((batch, time, heads, value.shape[3]), dtype)  # as the next product reads it
    out = by_token.swapaxes(1, 2)
    logs = np.empty((batch, heads, time, 1), dtype)
    parallel_map(lambda place: attention.write_results(place, out, logs), places)

    def backward(grad: Array) -> tuple[Array, Array, Array, Array | None]:
        grad_query = np.empty(query.shape, dtype)
        grad_key, grad_value = np.empty(key.shape, dtype), np.empty(value.shape, dtype)
        grad_mask = np.zeros((batch, heads, time, total), dtype) if needs_input_grad[3] else None
        grads = grad_query, grad_key, grad_value, grad_mask
        parallel_map(lambda place: attention.write_gradients(place, grad, out, logs, grads), places)
        return grads

    return out, backward


class Attention(NamedTuple):
    """What is attended to, for a few heads at a time."""

    query: Array
    key: Array
    value: Array
    added: Array | None  # to the scores: (batch, head, time, past + time)
    later: Array | None  # -inf above the diagonal of a block: what comes later is not seen
    scale: float

    @property
    def share(self) -> int:
        """The query heads of a group."""
        return int(self.query.shape[1] // self.key.shape[1])

    def blocks(self) -> list[slice]:
        return tiles(self.query.shape[2], BLOCK)

    def places(self) -> list[Place]:
        """Heads are apart from each other: how many are done at once changes no bits, so it may depend on threads."""
        (batch, groups, total, _), time = self.key.shape, self.query.shape[2]
        fitting = TILE // max(1, self.share * min(time, BLOCK) * total)
        at_once = max(1, min(fitting, batch * groups // (2 * threads())))
        return [(b, g) for b in tiles(batch, max(1, at_once // groups)) for g in tiles(groups, at_once)]

    def keys_before(self, block: slice) -> int:
        """How many keys some query of the block may see."""
        total = self.key.shape[2]
        return int(total - self.query.shape[2] + block.stop if self.later is not None else total)

    def by_group(self, x: Array, place: Place) -> Array:
        """The heads of some texts: (texts, groups, share, ...), a view."""
        texts, cut = place
        some = x[texts, cut.start * self.share : cut.stop * self.share]
        return some.reshape(len(some), -1, self.share, *x.shape[2:])

    def scores(self, left: Array, right: Array, place: Place, block: slice) -> Array:
        """left @ right with the masks: (texts, groups, share * queries, keys)."""
        result = left @ right
        queries, keys = block.stop - block.start, right.shape[3]
        by_head = result.reshape(*result.shape[:2], self.share, queries, keys)
        if self.added is not None:
            by_head += self.by_group(self.added, place)[:, :, :, block, :keys]
        if self.later is not None:
            by_head[..., keys - queries :] += self.later[:queries, :queries]
        return result

    def write_results(self, place: Place, out: Array, logs: Array) -> None:
        """Write the results of a place, and the logarithms of the sums of its exponentials."""
        queries = self.by_group(self.query, place) * self.scale
        its_out, its_logs, values = self.by_group(out, place), self.by_group(logs, place), self.value[place]
        keys_t = np.ascontiguousarray(self.key[place].swapaxes(-1, -2))  # few columns times few rows: faster so in BLAS
        ones = np.ones((self.key.shape[2], 1), out.dtype)
        for block in self.blocks():
            keys = self.keys_before(block)
            some_see_nothing = self.added is not None or keys == 0  # perhaps: their exponentials and their sum are 0
            e = self.scores(stacked(queries, block), keys_t[..., :keys], place, block)
            top = e.max(axis=-1, keepdims=True, initial=-math.inf)
            if some_see_nothing:
                top[top == -math.inf] = 0
            e -= top
            np.exp(e, out=e)
            sums = e @ ones[:keys]
            if some_see_nothing:
                sums += sums == 0
            some = e @ values[:, :, :keys]
            some /= sums
            put(its_out, block, some)
            put(its_logs, block, top + np.log(sums))

    def write_gradients(
        self, place: Place, grad: Array, out: Array, logs: Array, grads: tuple[Array, Array, Array, Array | None]
    ) -> None:
        """Write the gradients of a place."""
        grad_query, grad_key, grad_value, grad_mask = grads
        keys_and_ones, values_and_ones = transposed_with_ones(self.key[place]), transposed_with_ones(self.value[place])
        grad_out, its_query = self.by_group(grad, place), self.by_group(grad_query, place)
        queries = np.concatenate([self.by_group(self.query, place) * self.scale, -self.by_group(logs, place)], axis=-1)
        along = np.einsum("bgsij,bgsij->bgsi", grad_out, self.by_group(out, place))[..., None]
        slopes = np.concatenate([grad_out, -along], axis=-1)
        logs_are_exact = np.abs(self.by_group(logs, place)).max(initial=0) <= LARGEST
        its_key, its_value = grad_key[place], grad_value[place]
        its_key[...] = its_value[...] = 0
        for block in self.blocks():
            keys = self.keys_before(block)
            q, g = stacked(queries, block), stacked(slopes, block)
            if logs_are_exact:
                weights = self.scores(q, keys_and_ones[..., :keys], place, block)
                np.exp(weights, out=weights)
            else:
                weights = softmax_of(self.scores(q[..., :-1], keys_and_ones[..., :-1, :keys], place, block))
            its_value[:, :, :keys] += weights.swapaxes(-1, -2) @ g[..., :-1]
            grad_scores = g @ values_and_ones[..., :keys]
            grad_scores *= weights
            if grad_mask is not None:
                put(self.by_group(grad_mask, place)[..., :keys], block, grad_scores)
            its_key[:, :, :keys] += grad_scores.swapaxes(-1, -2) @ q[..., :-1]
            put(its_query, block, grad_scores @ self.key[place][:, :, :keys])
        its_query *= self.scale


def softmax_of(scores: Array) -> Array:
    """In place. Rows of which all is masked by a large finite number are too large for their logarithms."""
    top = scores.max(axis=-1, keepdims=True, initial=-math.inf)
    scores -= np.where(top == -math.inf, 0, top)
    np.exp(scores, out=scores)
    sums = scores.sum(axis=-1, keepdims=True)
    scores /= sums + (sums == 0)
    return scores


def added_to_scores(mask: Array | None, query: Array, total: int) -> Array | None:
    """The mask as numbers, as wide as the scores, without being so in memory."""
    if mask is None:
        return None
    numbers = np.where(mask, 0, -math.inf).astype(query.dtype) if mask.dtype == bool else mask
    return np.broadcast_to(numbers, (*query.shape[:3], total))


def stacked(x: Array, block: slice) -> Array:
    """The query heads of a group below each other: (texts, groups, share * queries, ...)."""
    some = x[:, :, :, block]
    return some.reshape(*some.shape[:2], -1, some.shape[-1])


def put(x: Array, block: slice, some: Array) -> None:
    """The way back: some (texts, groups, share * queries, ...) becomes these queries of x."""
    x[:, :, :, block] = some.reshape(*x.shape[:3], -1, some.shape[-1])


def transposed_with_ones(x: Array) -> Array:
    """(..., keys, width) -> (..., width + 1, keys), of which the last row is ones."""
    *outer, keys, width = x.shape
    result = np.empty((*outer, width + 1, keys), x.dtype)
    result[..., :width, :] = x.swapaxes(-1, -2)
    result[..., width, :] = 1
    return result


@kernel("ragged_attention", "cpu")
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
    """Neighbouring rows of one length are computed at once: a stack of products, each as it is for a row alone."""
    counts, mask = checked_lengths(query, key, lengths), as_mask(mask)
    heads, time, width = query.shape[1:]
    if time > 1 or not all(counts):
        out = np.empty((*query.shape[:3], value.shape[3]), query.dtype)
        for rows, length in runs(counts):
            keys, values, seen = key[rows, :, :length], value[rows, :, :length], aligned(mask, rows, length)
            options = {"is_causal": is_causal, "scale": scale, "needs_input_grad": (False,) * 4}
            out[rows], _ = compute("scaled_dot_product_attention", query[rows], keys, values, seen, **options)
        return out, None
    scale = 1 / math.sqrt(width) if scale is None else scale
    masks = None if mask is None else np.broadcast_to(mask, (len(query), heads, 1, max(counts, default=0)))

    def of_rows(some: slice) -> Array:
        parts = []
        for run, length in runs(counts[some]):
            rows = slice(some.start + run.start, some.start + run.stop)
            seen = None if masks is None else masks[rows, ..., masks.shape[-1] - length :]
            parts.append(_one_query(query[rows], key[rows, :, :length], value[rows, :, :length], seen, scale))
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    parts = parallel_map(of_rows, _in_two(len(query), sum(counts) * key.shape[1] * width))
    return parts[0] if len(parts) == 1 else np.concatenate(parts) if parts else np.empty_like(query), None


def _in_two(rows: int, numbers: int) -> list[slice]:
    """Rows for each of two threads, where their keys have enough numbers; more pieces would wait for the GIL."""
    return tiles(rows, rows if numbers <= FEW else -(-rows // 2)) if rows else []


def _one_query(query: Array, key: Array, value: Array, mask: Array | None, scale: float) -> Array:
    """The next token of some texts: so little work that few calls are all that counts. No key lies ahead of it."""
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
    return out.reshape(batch, heads, 1, value.shape[3])
