"""GELU by tiles, in float32: x * below(x), where `below` is the share of the normal distribution below x, or nearly.

NumPy has no erf, and Python's takes one number at a time.
"""

import math
from typing import Literal

import numpy as np

from scratchgrad.backend import Array
from scratchgrad.batch_invariance import is_batch_invariant
from scratchgrad.dispatch import KernelResult, kernel
from scratchgrad.threads import parallel_map, tiles

TILE = 1 << 15  # elements; half a dozen such arrays are in use at once
# erf(z) = 1 - (a1 t + ... + a5 t^5) e^(-z^2) with t = 1 / (1 + p z), to 1.5e-7 (Abramowitz and Stegun 1964, 7.1.26)
P, COEFFICIENTS = 0.3275911, (1.061405429, -1.453152027, 1.421413741, -0.284496736, 0.254829592)
SCALE, CUBE = math.sqrt(2 / math.pi), 0.044715  # of the approximation by tanh


@kernel("gelu", "cpu")
def gelu(x: Array, *, approximate: Literal["none", "tanh"] = "none") -> KernelResult:
    is_small = x.size <= TILE and not is_batch_invariant()  # either way gives other bits, and only one may be taken
    if x.dtype != np.float32 or is_small or approximate not in ("none", "tanh"):
        return NotImplemented
    below, slope = (normal, normal_slope) if approximate == "none" else (logistic, logistic_slope)
    flat = x.reshape(-1)
    cuts = tiles(flat.size, TILE)
    share, out = np.empty_like(flat), np.empty_like(flat)

    def forward(tile: slice) -> None:
        below(flat[tile], share[tile])
        np.multiply(flat[tile], share[tile], out=out[tile])

    parallel_map(forward, cuts)

    def backward(grad: Array) -> tuple[Array]:
        grad_flat, grad_x = grad.reshape(-1), np.empty_like(flat)

        def of_tile(tile: slice) -> None:
            inner = grad_x[tile]
            slope(flat[tile], share[tile], inner)
            inner *= flat[tile]
            inner += share[tile]
            inner *= grad_flat[tile]

        parallel_map(of_tile, cuts)
        return (grad_x.reshape(x.shape),)

    return out.reshape(x.shape), backward


def normal(x: Array, out: Array) -> None:
    """(1 + erf(x / sqrt 2)) / 2; on the left without a difference of nearly equal numbers."""
    t = np.abs(x)
    t *= P / math.sqrt(2)
    t += 1
    np.divide(1, t, out=t)
    np.multiply(t, COEFFICIENTS[0], out=out)
    for coefficient in COEFFICIENTS[1:]:
        out += coefficient
        out *= t
    np.multiply(x, x, out=t)
    t *= -0.5
    np.exp(t, out=t)
    out *= t
    out *= 0.5
    np.subtract(1, out, out=out, where=x > 0)


def normal_slope(x: Array, below: Array, out: Array) -> None:
    np.multiply(x, x, out=out)
    out *= -0.5
    np.exp(out, out=out)
    out *= 1 / math.sqrt(2 * math.pi)


def logistic(x: Array, out: Array) -> None:
    """(1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2."""
    np.multiply(x, x, out=out)
    out *= CUBE
    out += 1
    out *= x
    out *= SCALE
    np.tanh(out, out=out)
    out += 1
    out *= 0.5


def logistic_slope(x: Array, below: Array, out: Array) -> None:
    """2 below (1 - below) times the slope of what tanh is applied to."""
    np.multiply(x, x, out=out)
    out *= 3 * CUBE
    out += 1
    out *= 2 * SCALE
    out *= below
    out *= 1 - below
