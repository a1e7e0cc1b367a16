"""Functions of one number, for every element."""

import math

from scratchgrad.autograd import Backward
from scratchgrad.backend import Array, array_module
from scratchgrad.backend import erf as erf_of
from scratchgrad.dispatch import op


@op(takes="floats")
def exp(x: Array) -> tuple[Array, Backward]:
    y = array_module(x).exp(x)
    return y, lambda grad: (grad * y,)


@op(takes="floats")
def expm1(x: Array) -> tuple[Array, Backward]:
    """e^x - 1, exact near 0."""
    y = array_module(x).expm1(x)
    return y, lambda grad: (grad * (y + 1),)


@op(takes="floats")
def log(x: Array) -> tuple[Array, Backward]:
    return array_module(x).log(x), lambda grad: (grad / x,)


@op(takes="floats")
def log1p(x: Array) -> tuple[Array, Backward]:
    """log(1 + x), exact near 0."""
    return array_module(x).log1p(x), lambda grad: (grad / (1 + x),)


@op(takes="floats")
def sqrt(x: Array) -> tuple[Array, Backward]:
    y = array_module(x).sqrt(x)
    return y, lambda grad: (grad / (2 * y),)


@op(takes="floats")
def rsqrt(x: Array) -> tuple[Array, Backward]:
    """1 / sqrt(x)."""
    y = 1 / array_module(x).sqrt(x)
    return y, lambda grad: (grad * (-0.5 * y * y * y),)


@op(takes="floats")
def sin(x: Array) -> tuple[Array, Backward]:
    xp = array_module(x)
    return xp.sin(x), lambda grad: (grad * xp.cos(x),)


@op(takes="floats")
def cos(x: Array) -> tuple[Array, Backward]:
    xp = array_module(x)
    return xp.cos(x), lambda grad: (-grad * xp.sin(x),)


@op(takes="floats")
def erf(x: Array) -> tuple[Array, Backward]:
    """The integral of 2 / sqrt(pi) * e^(-t^2) from 0 to x."""
    xp = array_module(x)
    return erf_of(x), lambda grad: (grad * (2 / math.sqrt(math.pi) * xp.exp(-x * x)),)


@op
def sign(x: Array) -> tuple[Array, Backward]:
    """-1, 0 or 1, and 0 for NaN: steps, whose gradient is 0."""
    xp = array_module(x)
    return xp.where(x != x, 0, xp.sign(x)), lambda grad: (xp.zeros_like(grad),)


@op
def floor(x: Array) -> tuple[Array, Backward]:
    """The next integer below: steps, whose gradient is 0."""
    xp = array_module(x)
    return xp.floor(x), lambda grad: (xp.zeros_like(grad),)


@op
def ceil(x: Array) -> tuple[Array, Backward]:
    """The next integer above: steps, whose gradient is 0."""
    xp = array_module(x)
    return xp.ceil(x), lambda grad: (xp.zeros_like(grad),)


@op
def round(x: Array) -> tuple[Array, Backward]:
    """The nearest integer, the even one of two: steps, whose gradient is 0."""
    xp = array_module(x)
    return xp.rint(x), lambda grad: (xp.zeros_like(grad),)


@op
def trunc(x: Array) -> tuple[Array, Backward]:
    """Without what stands behind the point: steps, whose gradient is 0."""
    xp = array_module(x)
    return xp.trunc(x), lambda grad: (xp.zeros_like(grad),)


@op(takes="floats")
def exp2(x: Array) -> tuple[Array, Backward]:
    """2^x."""
    y = array_module(x).exp2(x)
    return y, lambda grad: (grad * y * math.log(2),)


@op(takes="floats")
def log2(x: Array) -> tuple[Array, Backward]:
    return array_module(x).log2(x), lambda grad: (grad / (x * math.log(2)),)


@op(takes="floats")
def log10(x: Array) -> tuple[Array, Backward]:
    return array_module(x).log10(x), lambda grad: (grad / (x * math.log(10)),)


@op(takes="floats")
def reciprocal(x: Array) -> tuple[Array, Backward]:
    """1 / x."""
    y = 1 / x
    return y, lambda grad: (-grad * y * y,)


@op
def square(x: Array) -> tuple[Array, Backward]:
    """x * x."""
    return x * x, lambda grad: (grad * 2 * x,)


@op(takes="floats")
def tan(x: Array) -> tuple[Array, Backward]:
    y = array_module(x).tan(x)
    return y, lambda grad: (grad * (1 + y * y),)


@op(takes="floats")
def sinh(x: Array) -> tuple[Array, Backward]:
    xp = array_module(x)
    return xp.sinh(x), lambda grad: (grad * xp.cosh(x),)


@op(takes="floats")
def cosh(x: Array) -> tuple[Array, Backward]:
    xp = array_module(x)
    return xp.cosh(x), lambda grad: (grad * xp.sinh(x),)


@op
def nan_to_num(
    x: Array, *, nan: float = 0.0, posinf: float | None = None, neginf: float | None = None
) -> tuple[Array, Backward]:
    """With numbers for NaN and the infinities (None: the largest and smallest of the dtype), which have no gradient."""
    xp = array_module(x)
    return xp.nan_to_num(x, nan=nan, posinf=posinf, neginf=neginf), lambda grad: (xp.where(xp.isfinite(x), grad, 0),)
