"""Losses of a prediction against what came. `reduction` is "mean", "sum" or "none"."""

from collections.abc import Callable
from typing import Literal, get_args

from scratchgrad.autograd import Backward
from scratchgrad.backend import Array, array_module
from scratchgrad.dispatch import op
from scratchgrad.ops.activation import logistic

Reduction = Literal["mean", "sum", "none"]


@op(takes="floats")
def mse_loss(prediction: Array, target: Array, *, reduction: Reduction = "mean") -> tuple[Array, Backward]:
    """(prediction - target)^2."""
    difference = prediction - target
    value, spread = reduced(difference * difference, reduction)

    def backward(grad: Array) -> tuple[Array, Array]:
        each = spread(grad) * 2 * difference
        return each, -each

    return value, backward


@op(takes="floats")
def binary_cross_entropy_with_logits(
    logits: Array, target: Array, *, reduction: Reduction = "mean"
) -> tuple[Array, Backward]:
    """-target * log(p) - (1 - target) * log(1 - p) for p = sigmoid(logits), exact however large the logits are."""
    value, spread = reduced(array_module(logits).logaddexp(logits, 0) - logits * target, reduction)
    return value, lambda grad: (
        lambda: spread(grad) * (logistic(logits) - target),
        lambda: spread(grad) * -logits,
    )


@op(takes="floats")
def kl_div(log_q: Array, p: Array, *, reduction: Reduction = "mean") -> tuple[Array, Backward]:
    """p * (log(p) - log_q), the terms of Kullback and Leibler's divergence of p from q; 0 where p is 0.

    Both have one shape. Summed over a distribution they are its divergence: use "sum", and divide by the batch.
    """
    xp = array_module(p)
    log_p = xp.log(xp.where(p > 0, p, 1))
    value, spread = reduced(p * (log_p - log_q), reduction)
    return value, lambda grad: (
        lambda: spread(grad) * -p,
        lambda: spread(grad) * (log_p + 1 - log_q) * (p > 0),
    )


def reduced(losses: Array, reduction: Reduction, count: Array | None = None) -> tuple[Array, Callable[[Array], Array]]:
    """The reduction of losses, and what it makes of the gradient: one number for each loss. count: of the mean."""
    check_reduction(reduction)
    xp, shape, dtype = array_module(losses), losses.shape, losses.dtype
    if reduction == "none":
        return losses, lambda grad: grad
    if reduction == "sum":
        return losses.sum(), lambda grad: xp.broadcast_to(grad, shape)
    each = 1 / max(losses.size, 1) if count is None else (1 / count).astype(dtype)
    return losses.sum() * each, lambda grad: xp.broadcast_to(grad * each, shape)


def check_reduction(reduction: Reduction) -> None:
    if reduction not in get_args(Reduction):
        raise ValueError(f"reduction is 'mean', 'sum' or 'none', and it is {reduction!r}")
