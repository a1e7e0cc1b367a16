"""Norms over the last axis, and over groups of channels."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from scratchgrad.autograd import Backward
from scratchgrad.backend import Array, sum_over
from scratchgrad.dispatch import function, op
from scratchgrad.ops.arithmetic import clamp, div, mul
from scratchgrad.ops.reduction import norm, sum

if TYPE_CHECKING:
    from scratchgrad.tensor import Tensor


@op(takes="floats")
def rms_norm(x: Array, weight: Array, *, eps: float = 1e-6) -> tuple[Array, Backward]:
    """weight * x / rms(x) over the last axis (Zhang and Sennrich 2019). x (..., width); weight (width,)."""
    scale = ((x * x).mean(axis=-1, keepdims=True) + eps) ** -0.5

    def backward(grad: Array) -> tuple[Array, Array]:
        normed = x * scale
        inner = grad * weight
        along = (inner * normed).mean(axis=-1, keepdims=True)  # the part that rescaling cancels
        return (inner - normed * along) * scale, grad * normed

    return x * scale * weight, backward


@op(takes="floats")
def layer_norm(x: Array, weight: Array, bias: Array | None = None, *, eps: float = 1e-5) -> tuple[Array, Backward]:
    """weight * (x - mean) / std + bias over the last axis (Ba et al. 2016). x (..., width); weight, bias (width,)."""
    centred = x - x.mean(axis=-1, keepdims=True)
    scale = ((centred * centred).mean(axis=-1, keepdims=True) + eps) ** -0.5
    normed = centred * scale

    def backward(grad: Array) -> tuple[Array, Array, Array]:
        inner = grad * weight
        along = (inner * normed).mean(axis=-1, keepdims=True)  # the part that rescaling cancels
        shift = inner.mean(axis=-1, keepdims=True)  # the part that centring cancels
        return (inner - shift - normed * along) * scale, grad * normed, grad

    out = normed * weight
    return out if bias is None else out + bias, backward


@op(takes="floats")
def group_norm(
    x: Array, weight: Array | None = None, bias: Array | None = None, *, num_groups: int, eps: float = 1e-5
) -> tuple[Array, Backward]:
    """weight * (x - mean) / std + bias, with mean and std over the channels of a group and all that follows.

    x (batch, channels, ...); weight, bias (channels,); num_groups divides channels (Wu and He 2018).
    """
    batch, channels = x.shape[:2]
    if num_groups < 1 or channels % num_groups:
        raise ValueError(f"{num_groups} groups must divide the {channels} channels, axis 1 of x")
    if any(each is not None and each.shape != (channels,) for each in (weight, bias)):
        raise ValueError(f"weight and bias must have shape ({channels},), one number for each channel")
    shape, by_channel = x.shape, (channels, *(1,) * (x.ndim - 2))
    groups = x.reshape(batch, num_groups, math.prod(shape[1:]) // num_groups)
    centred = groups - groups.mean(axis=-1, keepdims=True)
    scale = ((centred * centred).mean(axis=-1, keepdims=True) + eps) ** -0.5
    normed = centred * scale
    of_channels = (0, *range(2, x.ndim))

    def backward(grad: Array) -> tuple[Array, Array, Array]:
        inner = (grad if weight is None else grad * weight.reshape(by_channel)).reshape(groups.shape)
        along = (inner * normed).mean(axis=-1, keepdims=True)  # the part that rescaling cancels
        shift = inner.mean(axis=-1, keepdims=True)  # the part that centring cancels
        of_x = ((inner - shift - normed * along) * scale).reshape(shape)
        return of_x, sum_over(grad * normed.reshape(shape), of_channels), sum_over(grad, of_channels)

    out = normed.reshape(shape)
    out = out if weight is None else out * weight.reshape(by_channel)
    return out if bias is None else out + bias.reshape(by_channel), backward


@function
def normalize(x: Tensor, axis: int = -1, eps: float = 1e-12) -> Tensor:
    """x / |x| along `axis`, or x / eps where |x| is smaller."""
    return div(x, clamp(norm(x, axis=axis, keepdims=True), min=eps))


@function
def cosine_similarity(a: Tensor, b: Tensor, axis: int = -1, eps: float = 1e-8) -> Tensor:
    """The cosine of the angle between a and b along `axis`; no length counts as less than eps."""
    along = sum(mul(a, b), axis=axis)
    lengths = (clamp(norm(each, axis=axis), min=eps) for each in (a, b))
    return div(along, mul(*lengths))
