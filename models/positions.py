"""Positions of tokens: learned, rotary, and as a bias of attention."""

from __future__ import annotations

import numpy as np

from scratchgrad import Tensor
from scratchgrad import functional as F
from scratchgrad.nn import Embedding, Module

EAGER_ANGLES = 1 << 19  # that are calculated before any text asks for them: 4096 positions of a usual head


class LearnedPositions(Embedding):
    """A row of a table for each position (Gehring et al. 2017, section 3.1), to be added to the token that is there."""

    def forward(self, first: int, count: int) -> Tensor:  # type: ignore[override]
        """The rows (count, embedding_dim) of the `count` positions from `first` on.

        ValueError where a position is beyond the table.
        """
        _check_context(first + count, len(self.weight))
        return self.weight[first : first + count]


class RotaryEmbedding(Module):
    """The angles of rotary positions (Su et al. 2021, section 3.2.2): position * theta^(-2i / head_dim) for pair i.

    Calculated in float64 and kept as float32 cosines and sines (position, head_dim / 2): those of the first few
    thousand positions, and of more once a text has them. The config may claim a million.
    """

    def __init__(self, head_dim: int, max_position_embeddings: int, theta: float) -> None:
        self.head_dim, self.max_position_embeddings, self.theta = head_dim, max_position_embeddings, theta
        self._keep(min(max_position_embeddings, EAGER_ANGLES // head_dim))

    def forward(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        """(cos, sin) as `F.rotary` takes them, each (time, head_dim / 2), or (batch, 1, time, head_dim / 2).

        positions (time,) integers below max_position_embeddings, or (batch, time) where rows stand at different ones.
        """
        if len(self.cos) < self.max_position_embeddings and (last := int(positions.data.max(initial=0))) >= len(
            self.cos
        ):
            device = self.cos.device
            self._keep(min(self.max_position_embeddings, 2 * last))
            self.to(device)
        cos, sin = self.cos[positions], self.sin[positions]
        return (cos, sin) if positions.ndim == 1 else (cos[:, None], sin[:, None])

    def _keep(self, positions: int) -> None:
        frequencies = self.theta ** (-np.arange(0, self.head_dim, 2) / self.head_dim)
        angles = np.outer(np.arange(positions), frequencies)
        self.cos, self.sin = Tensor(np.cos(angles).astype(np.float32)), Tensor(np.sin(angles).astype(np.float32))


class RelativePositionBias(Module):
    """T5's positions (Raffel et al. 2020, section 2.1): a number for each head and distance, added to the scores.

    table (num_buckets, num_heads): near distances have a bucket each, far ones share theirs.
    """

    def __init__(self, num_heads: int, *, num_buckets: int, max_distance: int, bidirectional: bool, std: float) -> None:
        self.table = Embedding(num_buckets, num_heads, std=std)
        self.max_distance, self.bidirectional = max_distance, bidirectional

    def forward(self, queries: int, keys: int) -> Tensor:
        """The bias (1, head, queries, keys), where the queries are the last of the keys."""
        weight = self.table.weight
        buckets = F.relative_position_buckets(
            queries,
            keys,
            buckets=len(weight),
            max_distance=self.max_distance,
            bidirectional=self.bidirectional,
        )
        by_head: Tensor = self.table(buckets.to(weight.device)).transpose(2, 0, 1)
        return by_head.reshape(1, -1, queries, keys)


def _check_context(end: int, length: int) -> None:
    if end > length:
        raise ValueError(f"position {end - 1} lies beyond the context of {length} tokens")
