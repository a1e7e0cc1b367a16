"""Which token comes next: a draw from what the model says, that depends on (seed, sample, position) alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from scratchgrad.errors import UserError
from scratchgrad.random import Purpose, generator

HIGHEST_TEMPERATURE = 2.0
Values = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Sampling:
    """temperature 0 takes the likeliest token; higher ones flatten the probabilities softmax(logits / temperature).

    top_k keeps the k likeliest tokens; top_p then the fewest of the likeliest whose probabilities reach p (Holtzman et
    al. 2020, "The curious case of neural text degeneration"). UserError where a value is out of its range.
    """

    temperature: float = 1.0
    top_k: int | None = None
    top_p: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.temperature <= HIGHEST_TEMPERATURE:
            raise UserError(f"temperature {self.temperature:g} is outside 0 (greedy) to {HIGHEST_TEMPERATURE:g}")
        if self.top_k is not None and self.top_k < 1:
            raise UserError(f"top-k {self.top_k} keeps no token; it is at least 1")
        if not 0 < self.top_p <= 1:
            raise UserError(f"top-p {self.top_p:g} is outside the range above 0 up to 1")
        if not 0 <= self.seed < 2**64:
            raise UserError(f"seed {self.seed} is outside 0 to 2**64 - 1")

    def choose(self, logits: Values, sample: int, position: int) -> int:
        """The token at `position` of text number `sample`; logits (vocabulary,). Of equal ones the lowest id is first.

        UserError where a logit is NaN or all of them are infinite: no model that was trained gives such.
        """
        logits = logits.astype(np.float64)
        highest = logits.max()
        if not np.isfinite(highest):
            raise UserError(f"the model's scores for token {position} are not finite: its weights are damaged")
        if self.temperature == 0 or self.top_k == 1:
            return int(logits.argmax())
        likeliest = np.argsort(-logits, kind="stable")[: self.top_k]
        weights = np.exp((logits[likeliest] - highest) / self.temperature)
        reached = np.cumsum(weights)
        if self.top_p < 1:
            reached = reached[: np.searchsorted(reached, self.top_p * reached[-1]) + 1]
        draw = generator(self.seed, Purpose.SAMPLE, step=position, shard=sample).random()
        return int(likeliest[np.searchsorted(reached, draw * reached[-1], side="right")])
