"""Which token comes next: a draw from what the model says, that depends on (seed, sample, position) alone."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from scratchgrad.errors import UserError
from scratchgrad.random import Purpose, generator

HIGHEST_TEMPERATURE = 2.0
Values = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Sampling:
    """How a token is chosen. What is asked for applies in this order, which is Hugging Face's:

    1. repetition_penalty r: the logit of a token that the text has already becomes logit / r, or logit * r where it is
       negative (Keskar et al. 2019, "CTRL", section 4.1; for negative logits as Hugging Face has it).
    2. temperature t: p = softmax(logits / t). 0 takes the likeliest token, and what follows does not apply.
    3. top_k keeps the k likeliest tokens.
    4. top_p keeps the fewest of the likeliest that together have p of what is left (Holtzman et al. 2020, "The curious
       case of neural text degeneration", section 3.1).
    5. min_p keeps the tokens at least m times as likely as the likeliest (Nguyen et al. 2024, "Turning up the heat").

    What is kept is drawn from in proportion. Of equally likely tokens, those of lower ids are kept first; the likeliest
    is always kept. UserError where a value is out of its range.
    """

    temperature: float = 1.0
    top_k: int | None = None
    top_p: float = 1.0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.temperature <= HIGHEST_TEMPERATURE:
            raise UserError(f"temperature {self.temperature:g} is outside 0 (greedy) to {HIGHEST_TEMPERATURE:g}")
        if self.top_k is not None and self.top_k < 1:
            raise UserError(f"top-k {self.top_k} keeps no token; it is at least 1")
        if not 0 < self.top_p <= 1:
            raise UserError(f"top-p {self.top_p:g} is outside the range above 0 up to 1")
        if not 0 <= self.min_p <= 1:
            raise UserError(f"min-p {self.min_p:g} is outside 0 (keeps all) to 1 (keeps the likeliest)")
        if not 0 < self.repetition_penalty < float("inf"):
            raise UserError(
                f"repetition-penalty {self.repetition_penalty:g} is not a number above 0; 1 changes nothing"
            )
        if not 0 <= self.seed < 2**64:
            raise UserError(f"seed {self.seed} is outside 0 to 2**64 - 1")

    def probabilities(self, logits: Values, seen: Values | None = None) -> tuple[Values, Values]:
        """(ids in rising order, their probabilities) of the tokens that may come next. For temperatures above 0.

        logits (vocabulary,); seen (vocabulary,) booleans: the tokens that the text has already.
        """
        scores = self._penalised(logits, seen) / self.temperature
        weights = np.exp(scores - scores.max())
        ids = np.arange(len(weights)) if self.top_k is None else largest(weights, self.top_k)
        if self.top_p < 1:
            falling = np.sort(weights[ids])[::-1]
            reached = np.cumsum(falling)
            ids = ids[largest(weights[ids], int(np.searchsorted(reached, self.top_p * reached[-1])) + 1)]
        if self.min_p > 0:
            ids = ids[weights[ids] >= self.min_p]  # of the likeliest, whose weight is 1
        return ids, weights[ids] / weights[ids].sum()

    def choose(self, logits: Values, sample: int, position: int, seen: Values | None = None) -> int:
        """The token at `position` of text number `sample`; logits and seen as for `probabilities`.

        UserError where a logit is NaN or all of them are infinite: no model that was trained gives such.
        """
        if not np.isfinite(logits.max()):
            raise UserError(f"the model's scores for token {position} are not finite: its weights are damaged")
        if self.temperature == 0 or self.top_k == 1:
            return int(self._penalised(logits, seen).argmax())
        ids, probabilities = self.probabilities(logits, seen)
        reached = np.cumsum(probabilities)
        draw = generator(self.seed, Purpose.SAMPLE, step=position, microbatch=sample).random() * reached[-1]
        return int(ids[min(np.searchsorted(reached, draw, side="right"), np.searchsorted(reached, reached[-1]))])

    def _penalised(self, logits: Values, seen: Values | None) -> Values:
        if self.temperature == 0 and self.repetition_penalty == 1:
            return logits
        logits = logits.astype(np.float64)
        if self.repetition_penalty != 1 and seen is not None:
            read = logits[seen]
            logits[seen] = np.where(read < 0, read * self.repetition_penalty, read / self.repetition_penalty)
        return logits


def log_probabilities(logits: Values) -> Values:
    """log softmax(logits) along the last axis, in float64: what the model says, before anything is filtered."""
    shifted = logits.astype(np.float64)
    shifted -= shifted.max(axis=-1, keepdims=True)
    shifted -= np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return shifted


def log_probability(logits: Values, token: int) -> float:
    """log_probabilities(logits)[token] for logits (vocabulary,), to float32's precision, and faster."""
    top = logits.max()
    return float(logits[token] - top) - math.log(np.exp(logits - top).sum())


def largest(values: Values, count: int) -> Values:
    """Where the `count` largest of values (n,) stand, in rising order; of equal ones the first are taken."""
    if count >= len(values):
        return np.arange(len(values))
    threshold = np.partition(values, -count)[-count]
    above = np.flatnonzero(values > threshold)
    level = np.flatnonzero(values == threshold)[: count - len(above)]
    return np.sort(np.concatenate([above, level]))
