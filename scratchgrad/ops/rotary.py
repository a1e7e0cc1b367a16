"""Rotary positions (Su et al. 2021): a query and a key meet at an angle that grows with their distance."""

from scratchgrad.autograd import Backward
from scratchgrad.backend import Array, array_module
from scratchgrad.tensor import op


@op
def rotary(x: Array, cos: Array, sin: Array, *, heads: int | None = None) -> tuple[Array, Backward]:
    """Turn the pair (x[i], x[i + width/2]) of every position by its angle; heads from `heads` on stay as they are.

    x (batch, head, time, width); cos, sin (time, width/2); returns x's shape, each head contiguous in memory.
    """
    half = x.shape[-1] // 2
    if cos.shape != (x.shape[-2], half):
        raise ValueError(f"cos and sin must have shape (time, width/2) = {(x.shape[-2], half)}, not {cos.shape}")
    count = x.shape[1] if heads is None else heads

    def turn(x: Array, sin: Array) -> Array:
        out = array_module(x).empty(x.shape, x.dtype)
        left, right = x[:, :count, :, :half], x[:, :count, :, half:]
        out[:, :count, :, :half] = left * cos - right * sin
        out[:, :count, :, half:] = right * cos + left * sin
        out[:, count:] = x[:, count:]
        return out

    return turn(x, sin), lambda grad: (turn(grad, -sin), None, None)  # the way back is the turn the other way
