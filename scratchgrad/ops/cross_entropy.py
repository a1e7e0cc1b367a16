"""The loss of predicted scores against the classes that came, with or without the product that made the scores."""

import operator
from collections.abc import Callable
from functools import partial

from scratchgrad.autograd import Backward
from scratchgrad.backend import Array, array_module
from scratchgrad.dispatch import op
from scratchgrad.ops.loss import Reduction, reduced
from scratchgrad.threads import tiles

IGNORE_INDEX = -100  # a target that does not count, as in PyTorch
CHUNK_ELEMENTS = 1 << 24  # of logits at a time: 64 MiB in float32


@op
def cross_entropy(
    logits: Array,
    targets: Array,
    *,
    ignore_index: int = IGNORE_INDEX,
    label_smoothing: float = 0.0,
    z_loss: float = 0.0,
    reduction: Reduction = "mean",
) -> tuple[Array, Backward]:
    """-log softmax(logits)[target]. logits (..., classes); targets integers of logits' leading shape.

    Targets of `ignore_index` do not count, in the mean neither. label_smoothing: the share of the target that is spread
    over all classes (Szegedy et al. 2016, section 7). z_loss: times log(sum(e^logits))^2 is added, which keeps logits
    near 0 (Chowdhery et al. 2022, section 5).
    """
    check_targets(logits.shape[:-1], targets, logits.shape[-1], ignore_index)
    gradient = logits.reshape(-1, logits.shape[-1]).copy()
    losses = softmax_minus_target(gradient, targets.reshape(-1), ignore_index, label_smoothing, z_loss)
    counted = (targets != ignore_index).sum()
    value, spread = reduced(losses.reshape(targets.shape), reduction, counted + (counted == 0))
    shape = logits.shape
    return value, lambda grad: (gradient.reshape(shape) * spread(grad)[..., None], None)


@op
def linear_cross_entropy(
    x: Array,
    weight: Array,
    targets: Array,
    bias: Array | None = None,
    *,
    ignore_index: int = IGNORE_INDEX,
    label_smoothing: float = 0.0,
    z_loss: float = 0.0,
    needs_input_grad: tuple[bool, ...],
) -> tuple[Array, Backward]:
    """The sum of cross_entropy over tokens, with logits = x @ weight.T + bias that never exist as a whole.

    x (..., width); weight (vocabulary, width); targets integers of x's leading shape, `ignore_index` where nothing is
    asked; bias (vocabulary,). Returns one number. Tokens are taken chunk by chunk; while a chunk's logits are at hand
    its share of all gradients is made, so that nothing of the size (tokens, vocabulary) is kept or computed twice.
    """
    from_logits = partial(
        softmax_minus_target, ignore_index=ignore_index, label_smoothing=label_smoothing, z_loss=z_loss
    )
    return chunk_by_chunk(
        x, weight, targets, bias, ignore_index, needs_input_grad, from_logits, operator.matmul, _plus_product
    )


def chunk_by_chunk(
    x: Array,
    weight: Array,
    targets: Array,
    bias: Array | None,
    ignore_index: int,
    needs_input_grad: tuple[bool, ...],
    from_logits: Callable[[Array, Array], Array],
    product: Callable[[Array, Array], Array],
    plus_product: Callable[[Array | None, Array, Array], Array],
) -> tuple[Array, Backward]:
    """`from_logits` gives the losses of a chunk's rows and turns its logits into their gradient.

    product(a, b) is a @ b, and plus_product(sum, a, b) is the sum, changed in place if there is one, with a @ b.
    """
    if x.shape[-1] != weight.shape[1]:
        raise ValueError(f"the last axes of x ({x.shape[-1]}) and of weight ({weight.shape[1]}) must agree")
    check_targets(x.shape[:-1], targets, len(weight), ignore_index)
    xp = array_module(x)
    rows, ids = x.reshape(-1, x.shape[-1]), targets.reshape(-1)
    needs_x, needs_weight, _, needs_bias = needs_input_grad
    grad_x = xp.empty_like(rows) if needs_x else None
    grad_weight = None
    grad_bias = xp.zeros_like(bias) if needs_bias else None
    losses = xp.empty(len(rows), x.dtype)
    for chunk in tiles(len(rows), rows_at_a_time(len(weight))):
        logits = product(rows[chunk], weight.T)
        if bias is not None:
            logits += bias
        losses[chunk] = from_logits(logits, ids[chunk])
        if grad_x is not None:
            grad_x[chunk] = product(logits, weight)
        if needs_weight:
            grad_weight = plus_product(grad_weight, logits.T, rows[chunk])
        if grad_bias is not None:
            grad_bias += logits.sum(axis=0)

    if needs_weight and grad_weight is None:  # no token at all
        grad_weight = xp.zeros_like(weight)

    def backward(grad: Array) -> tuple[Array | None, Array | None, None, Array | None]:
        for made in (grad_x, grad_weight, grad_bias):  # ours alone, and used once: scaled where they are
            if made is not None:
                made *= grad
        return None if grad_x is None else grad_x.reshape(x.shape), grad_weight, None, grad_bias

    return losses.sum(), backward


def _plus_product(total: Array | None, a: Array, b: Array) -> Array:
    return a @ b if total is None else array_module(a).add(total, a @ b, out=total)


def softmax_minus_target(logits: Array, ids: Array, ignore_index: int, label_smoothing: float, z_loss: float) -> Array:
    """The losses of these rows; `logits` becomes their gradient, softmax(logits) - target, or 0 where ignored.

    The target is 1 at the id; smoothed by s, 1 - s there and s / classes everywhere. With z = log(sum(e^logits)), a z
    loss of weight w adds w * z^2 to the loss and 2 * w * z * softmax(logits) to the gradient.
    """
    xp, classes = array_module(logits), logits.shape[1]
    counted = ids != ignore_index
    at = xp.arange(len(ids)), ids * counted
    top = logits.max(axis=-1)
    logits -= top[:, None]
    wanted = (1 - label_smoothing) * logits[at]
    if label_smoothing:
        wanted += label_smoothing * logits.mean(axis=-1)
    xp.exp(logits, out=logits)
    total = logits.sum(axis=-1)
    log_total = xp.log(total)
    losses = log_total - wanted
    share = counted / total
    if z_loss:
        z = log_total + top
        losses += z_loss * z * z
        share *= 1 + 2 * z_loss * z
    logits *= share.astype(logits.dtype)[:, None]
    logits[at] -= (1 - label_smoothing) * counted
    if label_smoothing:
        logits -= (counted * (label_smoothing / classes)).astype(logits.dtype)[:, None]
    return xp.where(counted, losses, 0)


def rows_at_a_time(vocabulary: int) -> int:
    """How many tokens' logits are held at once: by shape alone, so that the bits are the same everywhere."""
    return max(64, CHUNK_ELEMENTS // vocabulary // 64 * 64)


def check_targets(shape: tuple[int, ...], targets: Array, classes: int, ignore_index: int) -> None:
    if targets.shape != shape:
        raise ValueError(f"targets must have the leading shape {shape}, not {targets.shape}")
    wrong = targets[((targets < 0) | (targets >= classes)) & (targets != ignore_index)]
    if wrong.size:
        raise IndexError(f"target {int(wrong[0])} is none of the {classes} classes")
