"""Arithmetic of two arrays, and what stands beside it: powers, signs, bounds, choices. Shapes broadcast."""

from scratchgrad.autograd import Backward
from scratchgrad.backend import Array, array_module
from scratchgrad.dispatch import op
from scratchgrad.ops.activation import logistic


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
def floor_divide(a: Array, b: Array) -> tuple[Array, Backward]:
    """floor(a / b): steps, whose gradient is 0 between the jumps."""
    xp = array_module(a)
    return a // b, lambda grad: (xp.zeros_like(grad), xp.zeros_like(grad))


@op
def remainder(a: Array, b: Array) -> tuple[Array, Backward]:
    """a - b * floor(a / b), with the sign of b."""
    return a % b, lambda grad: (grad, lambda: -grad * (a // b))


@op
def neg(x: Array) -> tuple[Array, Backward]:
    return -x, lambda grad: (-grad,)


@op
def pow(a: Array, b: Array) -> tuple[Array, Backward]:
    """a ** b. Where b is 0, so is the gradient of a; where a is 0 and b is not negative, so is that of b."""
    y = a**b
    xp = array_module(y)
    return y, lambda grad: (
        lambda: grad * (b * a ** xp.where(b == 0, 0, b - 1)),
        lambda: grad * y * xp.log(xp.where((a == 0) & (b >= 0), 1, a)),
    )


@op
def abs(x: Array) -> tuple[Array, Backward]:
    """|x|; the gradient at 0 is 0."""
    xp = array_module(x)
    return xp.abs(x), lambda grad: (grad * xp.where(x != x, 0, xp.sign(x)),)


@op
def maximum(a: Array, b: Array) -> tuple[Array, Backward]:
    """The larger of two; where they are equal, each gets half of the gradient, and beside NaN all of it."""
    y = array_module(a).maximum(a, b)
    return y, lambda grad: (lambda: _share(grad, a < b, a == b), lambda: _share(grad, b < a, a == b))


@op
def minimum(a: Array, b: Array) -> tuple[Array, Backward]:
    """The smaller of two; where they are equal, each gets half of the gradient, and beside NaN all of it."""
    y = array_module(a).minimum(a, b)
    return y, lambda grad: (lambda: _share(grad, a > b, a == b), lambda: _share(grad, b > a, a == b))


def _share(grad: Array, loses: Array, equal: Array) -> Array:
    """Nothing for who loses, half for equals; NaN neither loses nor is equal."""
    xp = array_module(grad)
    return xp.where(loses, 0, xp.where(equal, grad / 2, grad))


@op
def clamp(x: Array, min: Array | None = None, max: Array | None = None) -> tuple[Array, Backward]:
    """x, but not below min and not above max (which wins): numbers or arrays that broadcast.

    The gradient passes inside the bounds and on them; outside it is that of the bound.
    """
    xp = array_module(x)
    y = xp.clip(x, min, max)

    def backward(grad: Array) -> tuple[Array | None, ...]:
        crossed, met = (False, False) if min is None or max is None else (max < min, max <= min)  # all is max there
        return (
            grad * ((y == x) & xp.logical_not(crossed)),
            None if min is None else xp.where(met, 0, xp.where(x < min, grad, 0)),
            None if max is None else xp.where(crossed, grad, xp.where(x > max, grad, 0)),
        )

    return y, backward


@op
def where(condition: Array, a: Array, b: Array) -> tuple[Array, Backward]:
    """a where the condition holds, b elsewhere."""
    xp = array_module(condition)
    return xp.where(condition, a, b), lambda grad: (
        None,
        lambda: xp.where(condition, grad, 0),
        lambda: xp.where(condition, 0, grad),
    )


@op
def fmod(a: Array, b: Array) -> tuple[Array, Backward]:
    """a - b * trunc(a / b), with the sign of a."""
    xp = array_module(a)
    return xp.fmod(a, b), lambda grad: (grad, lambda: -grad * xp.trunc(a / b))


@op
def lerp(start: Array, end: Array, weight: Array) -> tuple[Array, Backward]:
    """start + weight * (end - start)."""
    return start + weight * (end - start), lambda grad: (
        lambda: grad * (1 - weight),
        lambda: grad * weight,
        lambda: grad * (end - start),
    )


@op
def logaddexp(a: Array, b: Array) -> tuple[Array, Backward]:
    """log(e^a + e^b), which cannot overflow."""
    xp = array_module(a)
    return xp.logaddexp(a, b), lambda grad: (lambda: grad * logistic(a - b), lambda: grad * logistic(b - a))


@op
def atan2(y: Array, x: Array) -> tuple[Array, Backward]:
    """The angle of the point (x, y), from -pi to pi; the gradient at the origin is 0."""
    xp = array_module(y)

    def over_square(numbers: Array) -> Array:
        square = x * x + y * y
        return numbers / (square + (square == 0))

    return xp.arctan2(y, x), lambda grad: (lambda: grad * over_square(x), lambda: -grad * over_square(y))
