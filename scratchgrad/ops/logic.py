"""And, or and not: of masks, and of the bits of integers. They have no gradient."""

from scratchgrad.backend import Array, array_module
from scratchgrad.dispatch import op


@op
def logical_and(a: Array, b: Array) -> tuple[Array, None]:
    """Do both hold? What is not 0 holds."""
    return array_module(a).logical_and(a, b), None


@op
def logical_or(a: Array, b: Array) -> tuple[Array, None]:
    """Does one of both hold? What is not 0 holds."""
    return array_module(a).logical_or(a, b), None


@op
def logical_xor(a: Array, b: Array) -> tuple[Array, None]:
    """Does one hold and the other not?"""
    return array_module(a).logical_xor(a, b), None


@op
def logical_not(x: Array) -> tuple[Array, None]:
    """Is it 0, or False?"""
    return array_module(x).logical_not(x), None


@op
def bitwise_and(a: Array, b: Array) -> tuple[Array, None]:
    """a & b, of booleans or integers."""
    return a & b, None


@op
def bitwise_or(a: Array, b: Array) -> tuple[Array, None]:
    """a | b, of booleans or integers."""
    return a | b, None


@op
def bitwise_xor(a: Array, b: Array) -> tuple[Array, None]:
    """a ^ b, of booleans or integers."""
    return a ^ b, None


@op
def bitwise_not(x: Array) -> tuple[Array, None]:
    """~x, of booleans or integers."""
    return ~x, None
