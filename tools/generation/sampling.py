"""Which token comes next: a draw from what the model says, that depends on (seed, sample, position) alone."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from scratchgrad.errors import UserError
from scratchgrad.random import Purpose, generator
from scratchgrad.tools.generation.sampling_params import SamplingParams

Values = np.ndarray[Any, Any]


def probabilities(logits: Values, params: SamplingParams, seen: Values | None = None) -> tuple[Values, Values]:
    """(ids in rising order, their probabilities) of the tokens that may come next. For temperatures above 0.

    logits (vocabulary,); seen (vocabulary,) booleans: the tokens that the text has already.
    """
    scores = _penalised(logits, params, seen) / params.temperature
    weights = np.exp(scores - scores.max())
    ids = np.arange(len(weights)) if params.top_k is None else largest(weights, params.top_k)
    if params.top_p < 1:
        falling = np.sort(weights[ids])[::-1]
        reached = np.cumsum(falling)
        ids = ids[largest(weights[ids], int(np.searchsorted(reached, params.top_p * reached[-1])) + 1)]
    if params.min_p > 0:
        ids = ids[weights[ids] >= params.min_p]  # of the likeliest, whose weight is 1
    return ids, weights[ids] / weights[ids].sum()


def sample_token(
    logits: Values, params: SamplingParams, *, sample: int, position: int, seen: Values | None = None
) -> int:
    """The token at `position` of text number `sample`; logits and seen as for `probabilities`.

    UserError where a logit is NaN or all of them are infinite: no model that was trained gives such.
    """
    check_logits(logits, f"token {position}")
    if params.temperature == 0 or params.top_k == 1:
        return int(_penalised(logits, params, seen).argmax())
    ids, shares = probabilities(logits, params, seen)
    reached = np.cumsum(shares)
    draw = generator(params.seed, Purpose.SAMPLE, step=position, microbatch=sample).random() * reached[-1]
    return int(ids[min(np.searchsorted(reached, draw, side="right"), np.searchsorted(reached, reached[-1]))])


def check_logits(logits: Values, what: str) -> None:
    """UserError where logits (..., vocabulary) have a NaN, or nothing but infinities in a row. what: they belong to."""
    if not np.isfinite(logits.max(axis=-1)).all():
        raise UserError(f"the model's scores for {what} are not finite: its weights are damaged")


def _penalised(logits: Values, params: SamplingParams, seen: Values | None) -> Values:
    if params.temperature == 0 and params.repetition_penalty == 1:
        return logits
    logits = logits.astype(np.float64)
    if params.repetition_penalty != 1 and seen is not None:
        read, penalty = logits[seen], params.repetition_penalty
        logits[seen] = np.where(read < 0, read * penalty, read / penalty)
    return logits


def log_probabilities(logits: Values) -> Values:
    """log softmax(logits) along the last axis, in float64: what the model says, before anything is filtered.

    UserError as of `check_logits`.
    """
    check_logits(logits, "a token")
    shifted = logits.astype(np.float64)
    shifted -= shifted.max(axis=-1, keepdims=True)
    shifted -= np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return shifted


def token_log_prob(logits: Values, token: int) -> float:
    """log_probabilities(logits)[token] for logits (vocabulary,), to float32's precision, and faster."""
    top = logits.max()
    return float(logits[token] - top) - math.log(np.exp(logits - top).sum())


def top_log_probs(logits: Values, count: int) -> list[tuple[int, float]]:
    """The `count` likeliest tokens, the best first, each with its token_log_prob; of equal ones the first."""
    ids = largest(logits, count) if count else np.arange(0)
    top = logits.max()
    total = math.log(np.exp(logits - top).sum())
    return [(int(i), float(logits[i] - top) - total) for i in ids[np.argsort(-logits[ids], kind="stable")]]


def largest(values: Values, count: int) -> Values:
    """Where the `count` largest of values (n,) stand, in rising order; of equal ones the first are taken."""
    if count >= len(values):
        return np.arange(len(values))
    threshold = np.partition(values, -count)[-count]
    above = np.flatnonzero(values > threshold)
    level = np.flatnonzero(values == threshold)[: count - len(above)]
    return np.sort(np.concatenate([above, level]))
