"""Norms over the last axis."""

from scratchgrad.autograd import Backward
from scratchgrad.backend import Array
from scratchgrad.tensor import op


@op
def rms_norm(x: Array, gain: Array, *, eps: float = 1e-6) -> tuple[Array, Backward]:
    """gain * x / rms(x) over the last axis (Zhang and Sennrich 2019). x (..., width); gain (width,)."""
    scale = ((x * x).mean(axis=-1, keepdims=True) + eps) ** -0.5

    def backward(grad: Array) -> tuple[Array, Array]:
        normed = x * scale
        inner = grad * gain
        along = (inner * normed).mean(axis=-1, keepdims=True)  # the part that rescaling cancels
        return (inner - normed * along) * scale, grad * normed

    return x * scale * gain, backward
