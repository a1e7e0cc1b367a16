"""The curves between linear layers as modules, for `Sequential`; see scratchgrad.functional for their formulas."""

from __future__ import annotations

from typing import Literal

from scratchgrad import functional as F
from scratchgrad.nn.module import Module
from scratchgrad.tensor import Tensor


class ReLU(Module):
    def forward(self, x: Tensor) -> Tensor:
        """x floats of any shape; returns x's shape."""
        return F.relu(x)


class GELU(Module):
    """approximate: "none" for BERT's, with erf; "tanh" for GPT-2's."""

    def __init__(self, approximate: Literal["none", "tanh"] = "none") -> None:
        self.approximate = approximate

    def forward(self, x: Tensor) -> Tensor:
        """x floats of any shape; returns x's shape."""
        return F.gelu(x, approximate=self.approximate)


class SiLU(Module):
    def forward(self, x: Tensor) -> Tensor:
        """x floats of any shape; returns x's shape."""
        return F.silu(x)


class Tanh(Module):
    def forward(self, x: Tensor) -> Tensor:
        """x floats of any shape; returns x's shape."""
        return F.tanh(x)


class Sigmoid(Module):
    def forward(self, x: Tensor) -> Tensor:
        """x floats of any shape; returns x's shape."""
        return F.sigmoid(x)


class Softmax(Module):
    """Along `dim`, which PyTorch calls it."""

    def __init__(self, dim: int = -1) -> None:
        self.dim = dim

    def forward(self, x: Tensor) -> Tensor:
        """x floats; returns x's shape."""
        return F.softmax(x, axis=self.dim)


class Flatten(Module):
    """The axes from `start_dim` to `end_dim` as one: all but the batch's."""

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        self.start_dim, self.end_dim = start_dim, end_dim

    def forward(self, x: Tensor) -> Tensor:
        """x (batch, ...); returns (batch, elements)."""
        return F.flatten(x, self.start_dim, self.end_dim)
