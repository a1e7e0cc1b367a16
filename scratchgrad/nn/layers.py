"""The modules that every model is made of."""

from __future__ import annotations

from scratchgrad import functional as F
from scratchgrad.nn.module import Module, Parameter
from scratchgrad.random import filled, normal
from scratchgrad.tensor import Tensor


class Linear(Module):
    """x @ weight.T + bias. weight (outputs, inputs), normal with `std`; bias (outputs,) zeros, or None."""

    def __init__(self, inputs: int, outputs: int, *, bias: bool = True, std: float = 0.02) -> None:
        self.weight = Parameter(normal((outputs, inputs), std))
        self.bias = Parameter(filled((outputs,), 0)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        """x (..., inputs); returns (..., outputs)."""
        return F.linear(x, self.weight, self.bias)


class Embedding(Module):
    """A table of `count` rows of `width`, looked up by integers. Rows are normal with `std`."""

    def __init__(self, count: int, width: int, *, std: float = 0.02) -> None:
        self.weight = Parameter(normal((count, width), std))

    def forward(self, ids: Tensor) -> Tensor:
        """ids integers of any shape; returns (*ids.shape, width)."""
        return F.embedding(self.weight, ids)


class RMSNorm(Module):
    """weight * x / rms(x) over the last axis; weight starts at one."""

    def __init__(self, width: int, *, eps: float = 1e-6) -> None:
        self.weight = Parameter(filled((width,), 1))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        return F.rms_norm(x, self.weight, eps=self.eps)


class LayerNorm(Module):
    """weight * (x - mean) / std + bias over the last axis; weight starts at one, bias at zero."""

    def __init__(self, width: int, *, eps: float = 1e-5) -> None:
        self.weight = Parameter(filled((width,), 1))
        self.bias = Parameter(filled((width,), 0))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        return F.layer_norm(x, self.weight, self.bias, eps=self.eps)


class Dropout(Module):
    """Zeroes a share `p` of the elements while training, and is not there otherwise."""

    def __init__(self, p: float) -> None:
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        return F.dropout(x, p=self.p) if self.training and self.p > 0 else x

    def extra_repr(self) -> str:
        return f"p={self.p}"
