"""Learning rates as functions of the step: a linear warm-up, then down to a share of the peak, or level."""

import math
from collections.abc import Callable

Schedule = Callable[[int], float]


def cosine(peak: float, steps: int, *, warmup: int = 0, final_ratio: float = 0.1) -> Schedule:
    """Half a cosine from `peak` to `peak * final_ratio` at the last step (Loshchilov and Hutter 2017)."""
    return _after_warmup(
        peak, steps, warmup, lambda t: final_ratio + (1 - final_ratio) * (1 + math.cos(math.pi * t)) / 2
    )


def linear(peak: float, steps: int, *, warmup: int = 0, final_ratio: float = 0.1) -> Schedule:
    """A straight line from `peak` to `peak * final_ratio` at the last step."""
    return _after_warmup(peak, steps, warmup, lambda t: 1 - (1 - final_ratio) * t)


def inverse_sqrt(peak: float, *, warmup: int = 0) -> Schedule:
    """peak * min(n / warmup, sqrt(warmup / n)) at the n-th step: up in a line, then down with the root of the step.

    Vaswani et al. 2017, section 5.3, where the peak is 1 / sqrt(d_model * warmup).
    """
    warm = max(1, warmup)
    return lambda step: peak * min((step + 1) / warm, math.sqrt(warm / (step + 1)))


def constant(peak: float, *, warmup: int = 0) -> Schedule:
    """`peak`, once warm."""
    return _after_warmup(peak, warmup + 1, warmup, lambda t: 1.0)


def _after_warmup(peak: float, steps: int, warmup: int, shape: Callable[[float], float]) -> Schedule:
    """shape(t) for t from 0 at the end of the warm-up to 1 at the last step. Steps count from 0."""

    def lr(step: int) -> float:
        if step < warmup:
            return peak * (step + 1) / warmup
        return peak * shape(min(1.0, (step - warmup) / max(1, steps - 1 - warmup)))

    return lr
