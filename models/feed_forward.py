"""The part of a block that looks at one token at a time."""

from __future__ import annotations

from scratchgrad import Tensor
from scratchgrad import functional as F
from scratchgrad.nn import Linear, Module


class SwiGLU(Module):
    """down(silu(gate(x)) * up(x)) (Shazeer 2020). The rows of `gate_up` are those of the gate, then those of up."""

    def __init__(self, hidden: int, intermediate: int, *, out_std: float) -> None:
        self.gate_up = Linear(hidden, 2 * intermediate, bias=False)
        self.down_proj = Linear(intermediate, hidden, bias=False, std=out_std)

    def forward(self, x: Tensor) -> Tensor:
        """x (..., hidden); returns x's shape."""
        out: Tensor = self.down_proj(F.swiglu(self.gate_up(x)))
        return out
