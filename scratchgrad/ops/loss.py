"""Losses of a prediction against the tokens that came."""

import operator
from collections.abc import Callable

from scratchgrad.autograd import Backward
from scratchgrad.backend import Array, array_module
from scratchgrad.tensor import op
from scratchgrad.threads import tiles

IGNORE = -100  # a target that does not count, as in PyTorch
CHUNK_ELEMENTS = 1 << 24  # of logits at a time: 64 MiB in float32


@op
def linear_cross_entropy(
    x: Array, weight: Array, targets: Array, *, ignore_index: int = IGNORE, needs_grad: tuple[bool, ...]
) -> tuple[Array, Backward]:
    """The sum over tokens of -log softmax(weight @ x)[target], without ever holding all logits.

    x (..., width); weight (vocabulary, width); targets integers of x's leading shape, `ignore_index` where nothing is
    asked. Returns one number. Tokens are taken chunk by chunk; while a chunk's logits are at hand its share of both
    gradients is made, so that nothing of the size (tokens, vocabulary) is kept or computed twice.
    """
    return chunk_by_chunk(x, weight, targets, ignore_index, needs_grad, softmax_minus_target, operator.matmul)


def chunk_by_chunk(
    x: Array,
    weight: Array,
    targets: Array,
    ignore_index: int,
    needs_grad: tuple[bool, ...],
    from_logits: Callable[[Array, Array, int], Array],
    product: Callable[[Array, Array], Array],
) -> tuple[Array, Backward]:
    """`from_logits` gives the losses of a chunk's rows and turns its logits into their gradient; `product` is a @ b."""
    check_targets(x, weight, targets, ignore_index)
    xp = array_module(x)
    rows, ids = x.reshape(-1, x.shape[-1]), targets.reshape(-1)
    needs_x, needs_weight, _ = needs_grad
    grad_x = xp.empty_like(rows) if needs_x else None
    grad_weight = None
    losses = xp.empty(len(rows), x.dtype)
    for chunk in tiles(len(rows), rows_at_a_time(len(weight))):
        logits = product(rows[chunk], weight.T)
        losses[chunk] = from_logits(logits, ids[chunk], ignore_index)
        if grad_x is not None:
            grad_x[chunk] = product(logits, weight)
        if needs_weight:
            share = product(logits.T, rows[chunk])
            grad_weight = share if grad_weight is None else xp.add(grad_weight, share, out=grad_weight)

    def backward(grad: Array) -> tuple[Array | None, Array | None, None]:
        for made in (grad_x, grad_weight):  # ours alone, and used once: scaled where they are
            if made is not None:
                made *= grad
        return None if grad_x is None else grad_x.reshape(x.shape), grad_weight, None

    return losses.sum(), backward


def softmax_minus_target(logits: Array, ids: Array, ignore_index: int) -> Array:
    """The losses of these rows; `logits` becomes their gradient, softmax(logits) - onehot(id), or 0 where ignored."""
    xp = array_module(logits)
    counted = ids != ignore_index
    at = xp.arange(len(ids)), xp.where(counted, ids, 0)
    logits -= logits.max(axis=-1, keepdims=True)
    at_target = logits[at]
    xp.exp(logits, out=logits)
    total = logits.sum(axis=-1)
    logits *= (counted / total).astype(logits.dtype)[:, None]
    logits[at] -= counted
    return xp.where(counted, xp.log(total) - at_target, 0)


def rows_at_a_time(vocabulary: int) -> int:
    """How many tokens' logits are held at once: by shape alone, so that the bits are the same everywhere."""
    return max(64, CHUNK_ELEMENTS // vocabulary // 64 * 64)


def check_targets(x: Array, weight: Array, targets: Array, ignore_index: int) -> None:
    if x.shape[-1] != weight.shape[1]:
        raise ValueError(f"the last axes of x ({x.shape[-1]}) and of weight ({weight.shape[1]}) must agree")
    if targets.shape != x.shape[:-1]:
        raise ValueError(f"targets must have x's leading shape {x.shape[:-1]}, not {targets.shape}")
    wrong = targets[((targets < 0) | (targets >= len(weight))) & (targets != ignore_index)]
    if wrong.size:
        raise IndexError(f"linear_cross_entropy: target {int(wrong[0])} is outside the vocabulary of {len(weight)}")
