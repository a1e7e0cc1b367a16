"""Which tokens a step sees: a function of the seed and the step alone, so that a resumed run has nothing to restore."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol

import numpy as np

from scratchgrad.errors import UserError
from scratchgrad.random import Purpose, generator

Ids = np.ndarray[Any, Any]
IGNORED = -100  # a target that does not count


class Batches(Protocol):
    """Where the rows of every step's global batch come from."""

    def rows(self, step: int, first: int, last: int) -> tuple[Ids, Ids]:
        """Rows [first, last) of the step's global batch: inputs and targets, int64 (last - first, context)."""


class TrainBatches:
    """Windows of `context` tokens and the tokens that follow them, in another order every epoch.

    An epoch cuts the text into neighbouring windows from a random offset on, and takes them in a random order; a global
    batch is the next `batch_size` of them, and may reach into the next epoch.
    """

    def __init__(self, tokens: Ids, context: int, batch_size: int, seed: int) -> None:
        self._tokens, self._context, self._batch_size = tokens, context, batch_size
        self._windows = (len(tokens) - 1) // context - 1  # one less, so that every offset leaves as many
        if len(tokens) <= context:
            raise UserError(
                f"the training text has {len(tokens)} tokens, and one sequence needs {context + 1}: "
                "add text to data.files, or lower train.context"
            )
        self._windows = max(1, self._windows)
        self._order = lru_cache(maxsize=2)(lambda epoch: self._draw(seed, epoch))

    def rows(self, step: int, first: int, last: int) -> tuple[Ids, Ids]:
        numbers = range(step * self._batch_size + first, step * self._batch_size + last)
        windows = np.stack([self._window(*divmod(number, self._windows)) for number in numbers])
        return windows[:, :-1], windows[:, 1:]

    def _window(self, epoch: int, number: int) -> Ids:
        offset, order = self._order(epoch)
        start = offset + int(order[number]) * self._context
        return self._tokens[start : start + self._context + 1].astype(np.int64)

    def _draw(self, seed: int, epoch: int) -> tuple[int, Ids]:
        rng = generator(seed, Purpose.SHUFFLE, step=epoch)
        spare = len(self._tokens) - 1 - self._windows * self._context
        return int(rng.integers(0, min(spare, self._context - 1) + 1)), rng.permutation(self._windows)


@dataclass(frozen=True)
class HeldOut:
    """Windows of held-out text in full batches; rows that only fill one up have targets of -100."""

    batches: list[tuple[Ids, Ids]]  # inputs, targets: int64 (batch_size, context)
    tokens: int  # targets that count
    text_bytes: int  # of the text that those stand for


def held_out_batches(tokens: Ids, byte_lengths: Ids, context: int, batch_size: int, limit: int) -> HeldOut:
    """At most `limit` tokens of held-out text, in windows spread evenly over it, the same on every call.

    byte_lengths (vocabulary,): how many bytes of text each id stands for.
    """
    windows = (len(tokens) - 1) // context
    if windows < 1:
        raise UserError(
            f"the held-out text has {len(tokens)} tokens, and one sequence needs {context + 1}: "
            "add text to data.files, raise data.held_out, or lower train.context"
        )
    count = max(1, min(windows, limit // context))
    starts = np.arange(count) * windows // count * context
    rows = np.stack([tokens[start : start + context + 1] for start in starts]).astype(np.int64)
    filled = -(-count // batch_size) * batch_size
    inputs, targets = np.zeros((filled, context), np.int64), np.full((filled, context), IGNORED)
    inputs[:count], targets[:count] = rows[:, :-1], rows[:, 1:]
    batches = [(inputs[i : i + batch_size], targets[i : i + batch_size]) for i in range(0, filled, batch_size)]
    return HeldOut(batches, count * context, int(byte_lengths[rows[:, 1:]].sum()))
