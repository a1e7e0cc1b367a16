"""Dropout (Srivastava et al. 2014)."""

from scratchgrad.autograd import Backward
from scratchgrad.backend import Array, device_of
from scratchgrad.dispatch import op
from scratchgrad.random import uniform


@op(takes="floats")
def dropout(
    x: Array,
    *,
    p: float,
    site: int | None = None,
    global_shape: tuple[int, ...] | None = None,
    offset: tuple[int, ...] | None = None,
) -> tuple[Array, Backward]:
    """Zero each element with probability p and scale the others by 1 / (1 - p); with p = 1 all are 0.

    Which ones depends on where the draw happens (see `scratchgrad.random`), not on what was drawn before: on its site,
    the next one in the order of the program if None, and on where the element stands. global_shape, offset: x is the
    part of an array of `global_shape` that begins at `offset` in each axis, and drops what that array would drop there.
    """
    scale = scale_of_kept(p)
    kept = uniform(x.shape, device_of(x), site=site, global_shape=global_shape, offset=offset) >= p
    return x * kept * scale, lambda grad: (grad * kept * scale,)


def scale_of_kept(p: float) -> float:
    """What makes up for a share p that is dropped, 1 / (1 - p); ValueError where p is no probability."""
    if not 0 <= p <= 1:
        raise ValueError(f"the share that is dropped is a probability, from 0 to 1, and it is {p}")
    return 1 / (1 - p) if p < 1 else 0.0
