"""Which tokens a step sees: a function of the seed and the step alone, so that a resumed run has nothing to restore."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

import numpy as np

from scratchgrad.errors import UserError
from scratchgrad.random import Purpose, generator
from scratchgrad.train.data.objective import IGNORE_INDEX, Batch, Ids, Objective, count_targets


class Batches(Protocol):
    """Where the rows of every step's global batch come from."""

    def rows(self, step: int, first: int, last: int) -> Batch:
        """Rows [first, last) of the step's global batch."""


class TrainBatches:
    """Windows of text as the objective makes rows of them, in another order every epoch.

    An epoch cuts the text into windows from a random offset on, and takes them in a random order; a global batch is the
    next `batch_size` of them, and may reach into the next epoch.
    """

    def __init__(self, tokens: Ids, objective: Objective, batch_size: int, seed: int) -> None:
        self._tokens, self._objective, self._batch_size = tokens, objective, batch_size
        if len(tokens) < objective.window:
            raise UserError(
                f"the training text has {len(tokens)} tokens, and one sequence needs {objective.window}: "
                "add text to data.files, or lower train.context"
            )
        # one less than there is room for, so that every offset leaves as many
        self._windows = max(1, _room(tokens, objective) - 1)
        self._order = lru_cache(maxsize=2)(lambda epoch: self._draw(seed, epoch))

    def rows(self, step: int, first: int, last: int) -> Batch:
        numbers = range(step * self._batch_size + first, step * self._batch_size + last)
        windows = np.stack([self._window(*divmod(number, self._windows)) for number in numbers])
        return self._objective.rows(windows, numbers)

    def _window(self, epoch: int, number: int) -> Ids:
        offset, order = self._order(epoch)
        start = offset + int(order[number]) * self._objective.stride
        return self._tokens[start : start + self._objective.window].astype(np.int64)

    def _draw(self, seed: int, epoch: int) -> tuple[int, Ids]:
        rng = generator(seed, Purpose.SHUFFLE, step=epoch)
        stride = self._objective.stride
        spare = len(self._tokens) - self._objective.window - (self._windows - 1) * stride
        return int(rng.integers(0, min(spare, stride - 1) + 1)), rng.permutation(self._windows)


@dataclass(frozen=True)
class Validation:
    """Rows of validation text in full batches; rows that only fill one up have no targets."""

    batches: list[Batch]
    tokens: int  # targets that count
    text_bytes: int | None  # of the text that those spell; None where they do not spell all of it


def validation_batches(tokens: Ids, objective: Objective, byte_lengths: Ids, batch_size: int, limit: int) -> Validation:
    """At most `limit` tokens of validation text, in windows spread evenly over it, the same on every call.

    byte_lengths (vocabulary,): how many bytes of text each id stands for.
    """
    room = _room(tokens, objective)
    if room < 1:
        raise UserError(
            f"the validation text has {len(tokens)} tokens, and one sequence needs {objective.window}: "
            "add text to data.files, raise data.validation, or lower train.context"
        )
    count = max(1, min(room, limit // objective.stride))
    starts = np.arange(count) * room // count * objective.stride
    windows = np.stack([tokens[start : start + objective.window] for start in starts]).astype(np.int64)
    return in_full_batches(
        objective.rows(windows, range(count)), batch_size, byte_lengths if objective.tells_all else None
    )


def in_full_batches(rows: Batch, batch_size: int, byte_lengths: Ids | None = None) -> Validation:
    """All rows in batches of one size; what fills the last one up has no targets."""
    targets = rows["targets"]
    missing = -len(targets) % batch_size
    filled = {
        name: np.concatenate([
            array, np.full((missing, *array.shape[1:]), IGNORE_INDEX if name.endswith("targets") else 0, array.dtype)
        ])
        for name, array in rows.items()
    }  # fmt: skip
    batches = [
        {name: array[start : start + batch_size] for name, array in filled.items()}
        for start in range(0, len(targets) + missing, batch_size)
    ]
    text_bytes = None if byte_lengths is None else int(byte_lengths[targets[targets != IGNORE_INDEX]].sum())
    return Validation(batches, count_targets(rows), text_bytes)


def _room(tokens: Ids, objective: Objective) -> int:
    """How many windows the tokens have room for."""
    return (len(tokens) - objective.window) // objective.stride + 1
