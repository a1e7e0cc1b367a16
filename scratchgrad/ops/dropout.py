"""Dropout (Srivastava et al. 2014)."""

from scratchgrad.autograd import Backward
from scratchgrad.backend import Array, device_of
from scratchgrad.dispatch import op
from scratchgrad.random import uniform


@op
def dropout(x: Array, *, p: float) -> tuple[Array, Backward]:
    """Zero each element with probability p and scale the others by 1 / (1 - p).

    Which ones depends on where the draw happens (see `scratchgrad.random`), not on what was drawn before.
    """
    if not 0 <= p < 1:
        raise ValueError(f"p is a probability below 1, and it is {p}")
    kept = uniform(x.shape, device_of(x)) >= p
    scale = 1 / (1 - p)
    return x * kept * scale, lambda grad: (grad * kept * scale,)
