"""From random bits to the normal distribution, with the same bits on every machine.

Box and Muller 1958, "A note on the generation of random normal deviates": two uniform numbers make two normal ones, a
length sqrt(-2 ln u) in a random direction. So a number can be drawn alone, as it cannot where some are rejected. Only
operations that IEEE 754 rounds in one way are used (+ - * / sqrt): a library's log and sin differ between processors.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

Floats = np.ndarray[Any, np.dtype[np.float32]]

SINE = tuple((-1) ** (k // 2) * (math.pi / 4) ** k / math.factorial(k) for k in (1, 3, 5, 7, 9))  # of x * pi / 4
ARTANH = tuple(1 / k for k in (1, 3, 5, 7))
ROOT_OF_HALF = np.int32(0x3F3504F3)  # the bits of sqrt(1/2)


def box_muller(words: np.ndarray[Any, Any]) -> Floats:
    """words (n,) random 64-bit integers; two numbers of each, float32 (2n,), with mean 0 and deviation 1."""
    low, high = words.astype("<u8", copy=False).view("<u4").astype(np.uint32, copy=False).reshape(-1, 2).T
    length = np.sqrt(_minus_two_log((low >> 8) + np.uint32(1)))
    sine = _odd_polynomial((high >> 8).astype(np.float32) * np.float32(2**-23) - np.float32(1), SINE)
    cosine = np.sqrt(np.float32(1) - sine * sine)
    cosine.view(np.uint32)[...] |= high << np.uint32(31)  # two more bits: to the left quarter of the circle,
    is_upright = (high & np.uint32(2)).astype(bool)  # and from the left and right ones to the other two
    out = np.empty((len(words), 2), np.float32)
    np.multiply(length, np.where(is_upright, sine, cosine), out=out[:, 0])
    np.multiply(length, np.where(is_upright, cosine, sine), out=out[:, 1])
    return out.reshape(-1)


def _minus_two_log(numbers: np.ndarray[Any, Any]) -> Floats:
    """-2 ln(n / 2^24) for n from 1 to 2^24, float32.

    With n = m * 2^e, where m is from sqrt(1/2) to sqrt(2), and z = (m - 1) / (m + 1), ln n = e ln 2 + 2 artanh(z).
    """
    from_root = numbers.astype(np.float32).view(np.int32) - ROOT_OF_HALF
    exponent = (from_root >> 23) - np.int32(24)
    mantissa = ((from_root & np.int32(0x7FFFFF)) + ROOT_OF_HALF).view(np.float32)
    z = (mantissa - np.float32(1)) / (mantissa + np.float32(1))
    result: Floats = exponent.astype(np.float32) * np.float32(-2 * math.log(2))
    result -= np.float32(4) * _odd_polynomial(z, ARTANH)
    return result


def _odd_polynomial(x: Floats, coefficients: tuple[float, ...]) -> Floats:
    """c0 x + c1 x^3 + c2 x^5 + ..."""
    square, first = x * x, np.float32(coefficients[-1])
    total = np.full_like(x, first)
    for coefficient in reversed(coefficients[:-1]):
        total *= square
        total += np.float32(coefficient)
    total *= x
    return total
