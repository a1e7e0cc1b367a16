"""Cross-entropy together with the product that makes its logits, which never exist as a whole."""

import operator
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from scratchgrad.autograd import Backward
from scratchgrad.backend import Array, array_module, sum_over
from scratchgrad.dispatch import op
from scratchgrad.ops.cross_entropy import IGNORE_INDEX, check_targets, softmax_minus_target
from scratchgrad.ops.linalg import as_rows
from scratchgrad.ops.loss import Reduction, check_reduction
from scratchgrad.threads import tiles

CHUNK_ELEMENTS = 1 << 24  # of logits at a time: 64 MiB in float32


@op(takes="floats")
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
    """cross_entropy of logits = x @ weight.T + bias that never exist as a whole.

    x (..., width); weight (vocabulary, width); targets integers of x's leading shape, `ignore_index` where nothing is
    asked; bias (vocabulary,). Returns one number, or with reduction "none" the loss of each target, of targets' shape,
    0 where it is ignored; without smoothing and z loss its negative is the log-probability of the target. The default
    is "sum", not cross_entropy's "mean": sums over microbatches and ranks can be added. ValueError where shapes
    disagree, IndexError for a target that is no class.

    Tokens are taken chunk by chunk. For one number, all gradients are made while a chunk's logits are at hand, so that
    nothing of the size (tokens, vocabulary) is kept or computed twice. With "none" every token has a gradient of its
    own, and the backward pass computes the logits of a chunk again.
    """
    loss = partial(softmax_minus_target, ignore_index=ignore_index, label_smoothing=label_smoothing, z_loss=z_loss)
    steps = chunk_steps(x, weight, targets, bias, loss, operator.matmul, _plus_product)
    return chunk_by_chunk(steps, x, weight, targets, ignore_index, reduction, needs_input_grad)


class ChunkSteps(NamedTuple):
    """How linear_cross_entropy computes a chunk of `length` tokens.

    losses_and_slopes(chunk, gradients of its losses or None for ones, are slopes needed): slopes are the gradient of
    the logits, in whatever form the other gradients are made from.
    """

    length: int
    losses_and_slopes: Callable[[slice, Array | None, bool], tuple[Array, Any]]
    grad_x: Callable[[Any], Array]
    plus_grad_weight: Callable[[Array | None, Any, slice], Array]  # a sum, changed in place if there is one
    plus_grad_bias: Callable[[Array, Any], None]


def chunk_steps(
    x: Array,
    weight: Array,
    targets: Array,
    bias: Array | None,
    loss: Callable[[Array, Array], Array],
    product: Callable[[Array, Array], Array],
    plus_product: Callable[[Array | None, Array, Array], Array],
) -> ChunkSteps:
    """The steps by a function that gives the losses of logits and turns those into slopes, and by two products.

    product(a, b) is a @ b, and plus_product(sum, a, b) is the sum, changed in place if there is one, with a @ b.
    """
    rows, ids = as_rows(x), targets.reshape(-1)

    def losses_and_slopes(chunk: slice, grad: Array | None, needs_slopes: bool) -> tuple[Array, Array]:
        logits = product(rows[chunk], weight.T)
        if bias is not None:
            logits += bias
        losses = loss(logits, ids[chunk])
        if grad is not None:
            logits *= grad[:, None]
        return losses, logits

    def plus_grad_bias(total: Array, slopes: Array) -> None:
        total += sum_over(slopes, 0)

    return ChunkSteps(
        length=rows_at_a_time(len(weight)),
        losses_and_slopes=losses_and_slopes,
        grad_x=lambda slopes: product(slopes, weight),
        plus_grad_weight=lambda total, slopes, chunk: plus_product(total, slopes.T, rows[chunk]),
        plus_grad_bias=plus_grad_bias,
    )


def chunk_by_chunk(
    steps: ChunkSteps,
    x: Array,
    weight: Array,
    targets: Array,
    ignore_index: int,
    reduction: Reduction,
    needs_input_grad: tuple[bool, ...],
) -> tuple[Array, Backward]:
    """linear_cross_entropy by these steps."""
    check_reduction(reduction)
    if x.shape[-1] != weight.shape[1]:
        raise ValueError(f"the last axes of x ({x.shape[-1]}) and of weight ({weight.shape[1]}) must agree")
    check_targets(x.shape[:-1], targets, len(weight), ignore_index)
    xp, shape, dtype, (vocabulary, width) = array_module(x), x.shape, x.dtype, weight.shape
    chunks = tiles(targets.size, steps.length)
    needs_x, needs_weight, _, needs_bias = needs_input_grad

    def gradients(token_grads: Array | None, losses: Array | None) -> tuple[Array | None, ...]:
        """Those of the sum of losses, weighted if there are gradients of tokens. `losses` is filled."""
        grad_x = xp.empty((targets.size, width), dtype) if needs_x else None
        grad_weight = xp.zeros((vocabulary, width), dtype) if needs_weight and not chunks else None
        grad_bias = xp.zeros(vocabulary, dtype) if needs_bias else None
        for chunk in chunks:
            grad = None if token_grads is None else token_grads[chunk]
            of_chunk, slopes = steps.losses_and_slopes(chunk, grad, any(needs_input_grad))
            if losses is not None:
                losses[chunk] = of_chunk
            if grad_x is not None:
                grad_x[chunk] = steps.grad_x(slopes)
            if needs_weight:
                grad_weight = steps.plus_grad_weight(grad_weight, slopes, chunk)
            if grad_bias is not None:
                steps.plus_grad_bias(grad_bias, slopes)
        return None if grad_x is None else grad_x.reshape(shape), grad_weight, None, grad_bias

    losses = xp.empty(targets.size, dtype)
    if reduction == "none":
        for chunk in chunks:
            losses[chunk], _ = steps.losses_and_slopes(chunk, None, False)
        return losses.reshape(targets.shape), lambda grad: gradients(grad.reshape(-1).astype(dtype, copy=False), None)

    made = gradients(None, losses)
    share = 1
    if reduction == "mean":
        counted = (targets != ignore_index).sum()
        share = (1 / (counted + (counted == 0))).astype(dtype)

    def backward(grad: Array) -> tuple[Array | None, ...]:
        scale = grad * share
        for array in made:  # ours alone, and used once: scaled where it is
            if array is not None:
                array *= scale
        return made

    return losses.sum() * share, backward


def _plus_product(total: Array | None, a: Array, b: Array) -> Array:
    return a @ b if total is None else array_module(a).add(total, a @ b, out=total)


def rows_at_a_time(vocabulary: int) -> int:
    """How many tokens' logits are held at once: by shape alone, so that the bits are the same everywhere."""
    return max(64, CHUNK_ELEMENTS // max(1, vocabulary) // 64 * 64)
