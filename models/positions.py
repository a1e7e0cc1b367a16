"""Where a token stands."""

from __future__ import annotations

import numpy as np

from scratchgrad import Tensor
from scratchgrad.backend import device_of
from scratchgrad.nn import Module, Parameter
from scratchgrad.random import normal

ROTARY_ROWS = 4096  # positions whose angles are calculated before any text asks for them


class LearnedPositions(Module):
    """A row of a table for each position (Gehring et al. 2017, section 3.1), to be added to what stands there."""

    def __init__(self, length: int, width: int, *, std: float = 0.02) -> None:
        self.weight = Parameter(normal((length, width), std))

    def forward(self, first: int, count: int) -> Tensor:
        """The rows of the positions from `first` on: (count, width)."""
        _check_context(first + count, len(self.weight))
        return self.weight[first : first + count]


class RotaryEmbedding(Module):
    """The angles of rotary positions (Su et al. 2021, section 3.2.2): position * theta^(-2i / width) for pair i.

    Calculated in float64 and kept as float32 cosines and sines (positions, width / 2): those of the first few thousand
    positions, and of more once a text has them. `length` is a claim of the config, and may be a million.
    """

    def __init__(self, width: int, length: int, theta: float) -> None:
        self.width, self.length, self.theta = width, length, theta
        self._keep(min(length, ROTARY_ROWS))

    def forward(self, first: int, count: int) -> tuple[Tensor, Tensor]:
        """(cos, sin) of the positions from `first` on, each (count, width / 2)."""
        _check_context(first + count, self.length)
        if first + count > len(self.cos):
            device = device_of(self.cos.data)
            self._keep(min(self.length, 2 * (first + count)))
            self.to(device)
        return self.cos[first : first + count], self.sin[first : first + count]

    def _keep(self, positions: int) -> None:
        frequencies = self.theta ** (-np.arange(0, self.width, 2) / self.width)
        angles = np.outer(np.arange(positions), frequencies)
        self.cos, self.sin = Tensor(np.cos(angles).astype(np.float32)), Tensor(np.sin(angles).astype(np.float32))


def _check_context(end: int, length: int) -> None:
    if end > length:
        raise ValueError(f"position {end - 1} lies beyond the context of {length} tokens")
