"""Norms over the last axis."""

from scratchgrad.autograd import Backward
from scratchgrad.backend import Array
from scratchgrad.dispatch import op


@op(takes="floats")
def rms_norm(x: Array, gain: Array, *, eps: float = 1e-6) -> tuple[Array, Backward]:
    """gain * x / rms(x) over the last axis (Zhang and Sennrich 2019). x (..., width); gain (width,)."""
    scale = ((x * x).mean(axis=-1, keepdims=True) + eps) ** -0.5

    def backward(grad: Array) -> tuple[Array, Array]:
        normed = x * scale
        inner = grad * gain
        along = (inner * normed).mean(axis=-1, keepdims=True)  # the part that rescaling cancels
        return (inner - normed * along) * scale, grad * normed

    return x * scale * gain, backward


@op(takes="floats")
def layer_norm(x: Array, gain: Array, bias: Array | None = None, *, eps: float = 1e-5) -> tuple[Array, Backward]:
    """gain * (x - mean) / std + bias over the last axis (Ba et al. 2016). x (..., width); gain, bias (width,)."""
    centred = x - x.mean(axis=-1, keepdims=True)
    scale = ((centred * centred).mean(axis=-1, keepdims=True) + eps) ** -0.5
    normed = centred * scale

    def backward(grad: Array) -> tuple[Array, Array, Array]:
        inner = grad * gain
        along = (inner * normed).mean(axis=-1, keepdims=True)  # the part that rescaling cancels
        shift = inner.mean(axis=-1, keepdims=True)  # the part that centring cancels
        return (inner - shift - normed * along) * scale, grad * normed, grad

    out = normed * gain
    return out if bias is None else out + bias, backward
