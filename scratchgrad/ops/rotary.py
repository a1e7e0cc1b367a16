"""Rotary positions (Su et al. 2021): a query and a key meet at an angle that grows with their distance."""

from scratchgrad.autograd import Backward
from scratchgrad.backend import Array, array_module
from scratchgrad.dispatch import op


@op(takes="floats")
def rotary(x: Array, cos: Array, sin: Array, *, heads: int | None = None) -> tuple[Array, Backward]:
    """Turn the pair (x[i], x[i + width/2]) of every position by its angle; heads from `heads` on stay as they are.

    x (batch, head, time, width). cos, sin (time, width/2), or (batch, 1, time, width/2) where each text of the batch
    stands elsewhere. Returns x's shape, each head contiguous in memory.
    """
    check_shapes(x, cos, sin)
    half = x.shape[-1] // 2
    count = x.shape[1] if heads is None else heads

    def turn(x: Array, sin: Array) -> Array:
        out = array_module(x).empty(x.shape, x.dtype)
        left, right = x[:, :count, :, :half], x[:, :count, :, half:]
        out[:, :count, :, :half] = left * cos - right * sin
        out[:, :count, :, half:] = right * cos + left * sin
        out[:, count:] = x[:, count:]
        return out

    return turn(x, sin), lambda grad: (turn(grad, -sin), None, None)  # the way back is the turn the other way


def check_shapes(x: Array, cos: Array, sin: Array) -> None:
    """ValueError that says which shapes of cos and sin fit to x."""
    batch, _, time, width = x.shape
    shared, own = (time, width // 2), (batch, 1, time, width // 2)
    if cos.shape not in (shared, own) or sin.shape != cos.shape:
        raise ValueError(
            f"cos and sin must have shape (time, width/2) = {shared} or (batch, 1, time, width/2) = {own}, "
            f"not {cos.shape} and {sin.shape}"
        )
