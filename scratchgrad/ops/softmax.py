"""Weights that add up to one, their logarithms, and the number that they are divided by."""

from scratchgrad.autograd import Backward
from scratchgrad.backend import Array, array_module
from scratchgrad.dispatch import op
from scratchgrad.ops.reduction import Axis, stretching


@op(takes="floats")
def softmax(x: Array, *, axis: int = -1) -> tuple[Array, Backward]:
    """e^x / sum(e^x) along `axis`. Where all of x is -inf, 0."""
    y = _exp_below_max(x, axis)
    total = y.sum(axis=axis, keepdims=True)
    y /= total + (total == 0)
    return y, lambda grad: (y * (grad - (grad * y).sum(axis=axis, keepdims=True)),)


@op(takes="floats")
def log_softmax(x: Array, *, axis: int = -1) -> tuple[Array, Backward]:
    """log(softmax(x)), exact where softmax would round to 0 or 1."""
    xp = array_module(x)
    y = x - x.max(axis=axis, keepdims=True, initial=-xp.inf)
    y -= xp.log(xp.exp(y).sum(axis=axis, keepdims=True))
    return y, lambda grad: (grad - xp.exp(y) * grad.sum(axis=axis, keepdims=True),)


@op(takes="floats")
def logsumexp(x: Array, *, axis: Axis = None, keepdims: bool = False) -> tuple[Array, Backward]:
    """log(sum(e^x)) over `axis`: one, several, or all."""
    xp = array_module(x)
    top = x.max(axis=axis, keepdims=True, initial=-xp.inf)
    top = xp.where(xp.isfinite(top), top, 0)
    y = xp.log(xp.exp(x - top).sum(axis=axis, keepdims=True)) + top
    stretch = stretching(x, axis)
    return y if keepdims else y.squeeze(axis), lambda grad: (stretch(grad) * xp.exp(x - y),)


def _exp_below_max(x: Array, axis: int) -> Array:
    """e^(x - max): the largest is 1, unless there is nothing but -inf."""
    xp = array_module(x)
    top = x.max(axis=axis, keepdims=True, initial=-xp.inf)
    y = x - xp.where(top == -xp.inf, 0, top)
    return xp.exp(y, out=y)
