"""Losses of a prediction against what came. `reduction` is "mean", "sum" or "none"."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, get_args

from scratchgrad.autograd import Backward
from scratchgrad.backend import Array, array_module
from scratchgrad.dispatch import function, op
from scratchgrad.ops.activation import logistic
from scratchgrad.ops.arithmetic import div
from scratchgrad.tensor import Tensor, raw

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
def l1_loss(prediction: Array, target: Array, *, reduction: Reduction = "mean") -> tuple[Array, Backward]:
    """|prediction - target|."""
    xp = array_module(prediction)
    difference = prediction - target
    value, spread = reduced(xp.abs(difference), reduction)

    def backward(grad: Array) -> tuple[Array, Array]:
        each = spread(grad) * xp.sign(difference)
        return each, -each

    return value, backward


@op(takes="floats")
def huber_loss(
    prediction: Array, target: Array, *, delta: float = 1.0, reduction: Reduction = "mean"
) -> tuple[Array, Backward]:
    """difference^2 / 2 up to delta, delta * (|difference| - delta / 2) beyond (Huber 1964)."""
    if not delta > 0:
        raise ValueError(f"delta must be above 0, and it is {delta}")
    xp = array_module(prediction)
    difference = prediction - target
    size = xp.abs(difference)
    near = size <= delta
    value, spread = reduced(xp.where(near, difference * difference / 2, delta * (size - delta / 2)), reduction)

    def backward(grad: Array) -> tuple[Array, Array]:
        each = spread(grad) * xp.where(near, difference, delta * xp.sign(difference))
        return each, -each

    return value, backward


@function
def smooth_l1_loss(
    prediction: Tensor, target: Tensor | Array, beta: float = 1.0, reduction: Reduction = "mean"
) -> Tensor:
    """difference^2 / (2 beta) up to beta, |difference| - beta / 2 beyond: the Huber loss over beta; l1_loss if 0."""
    if beta == 0:
        return l1_loss(prediction, target, reduction=reduction)
    return div(huber_loss(prediction, target, delta=beta, reduction=reduction), beta)


@op(takes="floats")
def binary_cross_entropy_with_logits(
    logits: Array, target: Array, *, pos_weight: float | Array | None = None, reduction: Reduction = "mean"
) -> tuple[Array, Backward]:
    """-target * log(p) - (1 - target) * log(1 - p) for p = sigmoid(logits), exact however large the logits are.

    pos_weight: a number, or an array that broadcasts, times which the first term counts: above 1 it asks for recall.
    """
    xp = array_module(logits)
    if pos_weight is None:
        value, spread = reduced(xp.logaddexp(logits, 0) - logits * target, reduction)
        return value, lambda grad: (
            lambda: spread(grad) * (logistic(logits) - target),
            lambda: spread(grad) * -logits,
        )
    weight = xp.asarray(raw(pos_weight), logits.dtype)
    of_yes, of_no = xp.logaddexp(-logits, 0), xp.logaddexp(logits, 0)
    value, spread = reduced(weight * target * of_yes + (1 - target) * of_no, reduction)
    return value, lambda grad: (
        lambda: spread(grad) * ((1 - target) * logistic(logits) - weight * target * logistic(-logits)),
        lambda: spread(grad) * (weight * of_yes - of_no),
    )


@op(takes="floats")
def binary_cross_entropy(p: Array, target: Array, *, reduction: Reduction = "mean") -> tuple[Array, Backward]:
    """-target * log(p) - (1 - target) * log(1 - p), with logarithms no smaller than -100, as PyTorch has it.

    p: probabilities. Of logits, `binary_cross_entropy_with_logits` is exact. ValueError for a p outside 0 to 1.
    """
    xp = array_module(p)
    if p.size and not (float(p.min()) >= 0 and float(p.max()) <= 1):
        raise ValueError("p holds no probabilities, from 0 to 1: use binary_cross_entropy_with_logits for logits")
    log_p, log_rest = (xp.where(q > 0, xp.maximum(xp.log(xp.where(q > 0, q, 1)), -100), -100) for q in (p, 1 - p))
    value, spread = reduced(-(target * log_p + (1 - target) * log_rest), reduction)
    return value, lambda grad: (
        lambda: spread(grad) * (p - target) / xp.maximum(p * (1 - p), 1e-12),
        lambda: spread(grad) * (log_rest - log_p),
    )


@op(takes="floats")
def kl_div(
    log_q: Array, p: Array, *, log_target: bool = False, reduction: Reduction = "mean"
) -> tuple[Array, Backward]:
    """p * (log(p) - log_q), the terms of Kullback and Leibler's divergence of p from q; 0 where p is 0.

    Both have one shape. Summed over a distribution they are its divergence: use "sum", and divide by the batch.
    log_target: p is given as its logarithm.
    """
    xp = array_module(p)
    if log_target:
        of_p = xp.exp(p)
        distance = xp.where(of_p > 0, p, 0) - log_q
        value, spread = reduced(of_p * distance, reduction)
        return value, lambda grad: (lambda: spread(grad) * -of_p, lambda: spread(grad) * of_p * (distance + 1))
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
