"""Where a token stands."""

from __future__ import annotations

import numpy as np

from scratchgrad import Tensor
from scratchgrad.nn import Module


class RotaryEmbedding(Module):
    """The angles of rotary positions (Su et al. 2021, section 3.2.2): position * theta^(-2i / width) for pair i.

    Calculated in float64 and kept as float32 cosines and sines of shape (length, width / 2).
    """

    def __init__(self, width: int, length: int, theta: float) -> None:
        frequencies = theta ** (-np.arange(0, width, 2) / width)
        angles = np.outer(np.arange(length), frequencies)
        self.cos, self.sin = Tensor(np.cos(angles).astype(np.float32)), Tensor(np.sin(angles).astype(np.float32))

    def forward(self, first: int, count: int) -> tuple[Tensor, Tensor]:
        """(cos, sin) of the positions from `first` on, each (count, width / 2)."""
        if first + count > len(self.cos):
            raise ValueError(f"position {first + count - 1} lies beyond the context of {len(self.cos)} tokens")
        return self.cos[first : first + count], self.sin[first : first + count]
