"""The feed-forward parts of a block, which treat each token by itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from scratchgrad import Tensor
from scratchgrad import functional as F
from scratchgrad.models.auxiliary import AuxOutputs
from scratchgrad.nn import Linear, Module

Activation = Literal["relu", "gelu", "gelu_new", "silu"]

ACTIVATIONS: dict[Activation, Callable[[Tensor], Tensor]] = {  # by Hugging Face's names
    "relu": F.relu,
    "gelu": F.gelu,
    "gelu_new": lambda x: F.gelu(x, approximate="tanh"),
    "silu": F.silu,
}


class FeedForward(Module):
    """down_proj(activation(up_proj(x))) (Vaswani et al. 2017, section 3.3)."""

    projections = ("up_proj", "down_proj")  # the linear layers before and after `activate`

    def __init__(
        self,
        hidden_size: int,
        intermediate_size: int,
        activation: Activation,
        *,
        bias: bool = False,
        std: float = 0.02,
        out_std: float = 0.02,
    ) -> None:
        self.activation = activation
        self.up_proj = Linear(hidden_size, intermediate_size, bias=bias, std=std)
        self.down_proj = Linear(intermediate_size, hidden_size, bias=bias, std=out_std)

    def forward(self, x: Tensor, aux: AuxOutputs) -> Tensor:
        """x (..., hidden_size) floats; returns x's shape and dtype. `aux` is for mixtures: nothing is added here."""
        out: Tensor = self.down_proj(self.activate(self.up_proj(x), self.activation))
        return out

    @staticmethod
    def activate(up: Tensor, activation: Activation) -> Tensor:
        """What happens between the two projections; (..., rows of the first) to (..., intermediate_size)."""
        return ACTIVATIONS[activation](up)

    def extra_repr(self) -> str:
        return self.activation


class GatedFeedForward(Module):
    """down_proj(activation(gate(x)) * up(x)) (Shazeer 2020, "GLU variants"); with silu it is SwiGLU.

    The rows of `gate_up.weight` are those of the gate, then those of up.
    """

    projections = ("gate_up", "down_proj")  # the linear layers before and after `activate`

    def __init__(
        self,
        hidden_size: int,
        intermediate_size: int,
        activation: Activation,
        *,
        std: float = 0.02,
        out_std: float = 0.02,
    ) -> None:
        self.activation = activation
        self.gate_up = Linear(hidden_size, 2 * intermediate_size, bias=False, std=std)
        self.down_proj = Linear(intermediate_size, hidden_size, bias=False, std=out_std)

    def forward(self, x: Tensor, aux: AuxOutputs) -> Tensor:
        """x (..., hidden_size) floats; returns x's shape and dtype. `aux` is for mixtures: nothing is added here."""
        if self.activation == "silu" and type(self.gate_up) is type(self.down_proj) is Linear:
            return F.swiglu_feed_forward(x, self.gate_up.weight, self.down_proj.weight)
        out: Tensor = self.down_proj(self.activate(self.gate_up(x), self.activation))
        return out

    @staticmethod
    def activate(gate_up: Tensor, activation: Activation) -> Tensor:
        """What happens between the two projections; (..., rows of the first) to (..., intermediate_size)."""
        if activation == "silu":
            return F.swiglu(gate_up)
        gate, up = F.split(gate_up, 2, axis=-1)
        return ACTIVATIONS[activation](gate) * up

    def extra_repr(self) -> str:
        return self.activation
