"""Ops that treat every element alike."""

from scratchgrad.autograd import Backward
from scratchgrad.backend import Array, array_module
from scratchgrad.tensor import op


@op
def add(a: Array, b: Array) -> tuple[Array, Backward]:
    return a + b, lambda grad: (grad, grad)


@op
def sub(a: Array, b: Array) -> tuple[Array, Backward]:
    return a - b, lambda grad: (grad, lambda: -grad)


@op
def mul(a: Array, b: Array) -> tuple[Array, Backward]:
    return a * b, lambda grad: (lambda: grad * b, lambda: grad * a)


@op
def div(a: Array, b: Array) -> tuple[Array, Backward]:
    return a / b, lambda grad: (lambda: grad / b, lambda: -grad * a / (b * b))


@op
def neg(x: Array) -> tuple[Array, Backward]:
    return -x, lambda grad: (-grad,)


@op
def pow(x: Array, *, exponent: float) -> tuple[Array, Backward]:
    """x ** exponent for a number as exponent."""
    return x**exponent, lambda grad: (grad * (exponent * x ** (exponent - 1)),)


@op
def exp(x: Array) -> tuple[Array, Backward]:
    y = array_module(x).exp(x)
    return y, lambda grad: (grad * y,)


@op
def log(x: Array) -> tuple[Array, Backward]:
    return array_module(x).log(x), lambda grad: (grad / x,)


@op
def sqrt(x: Array) -> tuple[Array, Backward]:
    y = array_module(x).sqrt(x)
    return y, lambda grad: (grad / (2 * y),)
