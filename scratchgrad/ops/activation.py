"""The curves between the linear maps."""

import math
from typing import Literal

from scratchgrad.autograd import Backward
from scratchgrad.backend import Array, array_module, erf
from scratchgrad.dispatch import op


def logistic(x: Array) -> Array:
    """1 / (1 + e^-x): of e^-|x|, which cannot overflow, and without a difference, which would be 0 far on the left."""
    xp = array_module(x)
    e = xp.exp(-xp.abs(x))
    return xp.where(x < 0, e, 1) / (1 + e)


@op(takes="floats")
def sigmoid(x: Array) -> tuple[Array, Backward]:
    """1 / (1 + e^-x)."""
    y = logistic(x)
    return y, lambda grad: (grad * y * (1 - y),)


@op(takes="floats")
def tanh(x: Array) -> tuple[Array, Backward]:
    y = array_module(x).tanh(x)
    return y, lambda grad: (grad * (1 - y * y),)


@op
def relu(x: Array) -> tuple[Array, Backward]:
    """max(x, 0); the gradient at 0 is 0, and at NaN 1."""
    y = array_module(x).maximum(x, 0)
    return y, lambda grad: (grad * ~(y <= 0),)


@op(takes="floats")
def silu(x: Array) -> tuple[Array, Backward]:
    """x * sigmoid(x) (Elfwing et al. 2017)."""
    s = logistic(x)
    return x * s, lambda grad: (grad * s * (1 + x * (1 - s)),)


@op(takes="floats")
def gelu(x: Array, *, approximate: Literal["none", "tanh"] = "none") -> tuple[Array, Backward]:
    """x times the normal distribution's share below x (Hendrycks and Gimpel 2016).

    approximate: "none" for 0.5 x (1 + erf(x / sqrt 2)), as BERT has it; "tanh" for
    0.5 x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))), as GPT-2 has it.
    """
    xp = array_module(x)
    if approximate == "tanh":
        scale = math.sqrt(2 / math.pi)
        t = xp.tanh(scale * (x + 0.044715 * x * x * x))
        slope = scale * (1 + 3 * 0.044715 * x * x)  # of what tanh is applied to
        return 0.5 * x * (1 + t), lambda grad: (grad * (0.5 * (1 + t) + 0.5 * x * (1 - t * t) * slope),)
    if approximate != "none":
        raise ValueError(f"approximate is 'none' or 'tanh', and it is {approximate!r}")
    below = 0.5 * (1 + erf(x / math.sqrt(2)))
    return x * below, lambda grad: (grad * (below + x * xp.exp(-0.5 * x * x) / math.sqrt(2 * math.pi)),)


@op(takes="floats")
def softplus(x: Array) -> tuple[Array, Backward]:
    """log(1 + e^x), which cannot overflow here."""
    return array_module(x).logaddexp(x, 0), lambda grad: (grad * logistic(x),)


@op(takes="floats")
def logsigmoid(x: Array) -> tuple[Array, Backward]:
    """log(sigmoid(x)), exact where the sigmoid would round to 0 or 1."""
    return -array_module(x).logaddexp(-x, 0), lambda grad: (grad * logistic(-x),)


@op(takes="floats")
def leaky_relu(x: Array, *, negative_slope: float = 0.01) -> tuple[Array, Backward]:
    """x above 0, negative_slope * x below and, for the gradient, at 0."""
    xp = array_module(x)
    return xp.where(x > 0, x, negative_slope * x), lambda grad: (xp.where(x > 0, grad, negative_slope * grad),)


@op(takes="floats")
def elu(x: Array, *, alpha: float = 1.0) -> tuple[Array, Backward]:
    """x above 0, alpha * (e^x - 1) below (Clevert et al. 2015)."""
    xp = array_module(x)
    left = xp.minimum(x, 0)
    y = xp.where(x > 0, x, alpha * xp.expm1(left))
    return y, lambda grad: (xp.where(x <= 0, grad * alpha * xp.exp(left), grad),)


@op(takes="floats")
def mish(x: Array) -> tuple[Array, Backward]:
    """x * tanh(softplus(x)) (Misra 2019)."""
    xp = array_module(x)
    t = xp.tanh(xp.logaddexp(x, 0))
    return x * t, lambda grad: (grad * (t + x * (1 - t * t) * logistic(x)),)


@op(takes="floats")
def glu(x: Array, *, axis: int = -1) -> tuple[Array, Backward]:
    """The first half along `axis` times the sigmoid of the second (Dauphin et al. 2016); `swiglu` has them reversed."""
    if x.shape[axis] % 2:
        raise ValueError(f"axis {axis} is cut into two halves, so its length must be even, and it is {x.shape[axis]}")
    xp = array_module(x)
    left, right = xp.split(x, 2, axis=axis)
    s = logistic(right)
    return left * s, lambda grad: (xp.concatenate([grad * s, grad * left * s * (1 - s)], axis=axis),)


@op(takes="floats")
def swiglu(x: Array) -> tuple[Array, Backward]:
    """silu(gate) * up, with gate and up the two halves of the last axis (Shazeer 2020, "GLU variants").

    x (..., 2 * width); returns (..., width).
    """
    width = x.shape[-1] // 2
    if 2 * width != x.shape[-1]:
        raise ValueError(f"the last axis holds gate and up, so its length must be even, and it is {x.shape[-1]}")

    def backward(grad: Array) -> tuple[Array]:
        gate, up = x[..., :width], x[..., width:]
        s = logistic(gate)
        out = array_module(x).empty_like(x)
        out[..., :width] = grad * up * s * (1 + gate * (1 - s))
        out[..., width:] = grad * gate * s
        return (out,)

    gate = x[..., :width]
    return gate * logistic(gate) * x[..., width:], backward
