"""Convolution along one axis, as the product of windows and weights."""

from scratchgrad.autograd import Backward
from scratchgrad.backend import Array, array_module, sum_over
from scratchgrad.dispatch import op


@op(takes="floats")
def conv1d(
    x: Array,
    weight: Array,
    bias: Array | None = None,
    *,
    stride: int = 1,
    padding: int = 0,
    dilation: int = 1,
    groups: int = 1,
) -> tuple[Array, Backward]:
    """out[b, o, t] = bias[o] + sum over i, k of weight[o, i, k] * x[b, i, t * stride + k * dilation - padding].

    x (batch, in_channels, time), zeros beyond its ends; weight (out_channels, in_channels / groups, size); bias
    (out_channels,). The channels of each of the `groups` meet among themselves. Returns (batch, out_channels, steps)
    with steps = (time + 2 * padding - dilation * (size - 1) - 1) // stride + 1. ValueError where shapes do not fit.
    """
    if x.ndim != 3 or weight.ndim != 3:
        raise ValueError("x must be (batch, in_channels, time) and weight (out_channels, in_channels / groups, size)")
    (batch, channels, time), (outputs, inputs, size) = x.shape, weight.shape
    if groups < 1 or channels != groups * inputs or outputs % groups:
        raise ValueError(
            f"{groups} groups of {inputs} channels are not the {channels} of x, or do not divide {outputs}"
        )
    if min(stride, dilation, size) < 1 or padding < 0:
        raise ValueError("stride, dilation and size must be 1 or more, and padding 0 or more")
    steps = (time + 2 * padding - dilation * (size - 1) - 1) // stride + 1
    if steps < 1:
        raise ValueError(f"windows of {size} at distance {dilation} do not fit into time {time} with padding {padding}")
    xp = array_module(x)
    padded = xp.pad(x, [(0, 0), (0, 0), (padding, padding)])
    places = xp.arange(steps)[:, None] * stride + xp.arange(size) * dilation
    windows = padded[:, :, places].reshape(batch, groups, inputs, steps, size)
    windows = xp.moveaxis(windows, 3, 2).reshape(batch, groups, steps, inputs * size)
    by_group = weight.reshape(groups, outputs // groups, inputs * size)
    out = xp.moveaxis(windows @ by_group.swapaxes(-1, -2), 2, 3).reshape(batch, outputs, steps)

    def backward(grad: Array) -> tuple[Array, Array, Array]:
        of_out = xp.moveaxis(grad.reshape(batch, groups, outputs // groups, steps), 3, 2)
        of_windows = (of_out @ by_group).reshape(batch, groups, steps, inputs, size)
        of_padded = xp.zeros(padded.shape, grad.dtype).reshape(batch, groups, inputs, -1)
        for k in range(size):  # neighbouring windows overlap; their k-th elements do not
            of_padded[..., places[:, k]] += xp.moveaxis(of_windows[..., k], 2, 3)
        of_x = of_padded.reshape(padded.shape)[:, :, padding : padding + time]
        of_weight = sum_over(of_out.swapaxes(-1, -2) @ windows, 0)
        return of_x, of_weight.reshape(weight.shape), sum_over(grad, (0, 2))

    return out if bias is None else out + bias[:, None], backward
