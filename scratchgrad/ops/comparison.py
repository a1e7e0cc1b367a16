"""Questions: the answers are True and False, and have no gradient."""

from scratchgrad.backend import Array, array_module
from scratchgrad.dispatch import op


@op
def eq(a: Array, b: Array) -> tuple[Array, None]:
    return a == b, None


@op
def ne(a: Array, b: Array) -> tuple[Array, None]:
    return a != b, None


@op
def lt(a: Array, b: Array) -> tuple[Array, None]:
    return a < b, None


@op
def le(a: Array, b: Array) -> tuple[Array, None]:
    return a <= b, None


@op
def gt(a: Array, b: Array) -> tuple[Array, None]:
    return a > b, None


@op
def ge(a: Array, b: Array) -> tuple[Array, None]:
    return a >= b, None


@op
def isnan(x: Array) -> tuple[Array, None]:
    return array_module(x).isnan(x), None


@op
def isinf(x: Array) -> tuple[Array, None]:
    return array_module(x).isinf(x), None


@op
def isfinite(x: Array) -> tuple[Array, None]:
    return array_module(x).isfinite(x), None


@op
def isclose(
    a: Array, b: Array, *, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False
) -> tuple[Array, None]:
    """|a - b| <= atol + rtol * |b|; infinities are close to themselves."""
    return array_module(a).isclose(a, b, rtol=rtol, atol=atol, equal_nan=equal_nan), None
