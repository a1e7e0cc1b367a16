"""Numbers that are not finite stop a run before they are kept: no weight of a checkpoint is one, and no metric."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from scratchgrad.backend import Array, array_module
from scratchgrad.errors import UserError
from scratchgrad.tools.runs import checkpoints


class NotFiniteError(UserError):
    """A run came to a NaN or an infinity; the message says where, and what is left of the run."""

    def of_run(self, folder: Path) -> NotFiniteError:
        """The same, with the run's last checkpoint: those that are written hold finite numbers only."""
        present = checkpoints(folder)
        left = f"the last good checkpoint is '{present[-1][1]}'" if present else "there is no checkpoint yet"
        return NotFiniteError(
            f"{self}. A lower train.learning_rate, a longer train.warmup_steps or a smaller train.weight_decay often "
            f"helps; {left}"
        )


def first_not_finite(arrays: Iterable[tuple[str, Array]]) -> str | None:
    """The name of the first array that holds a NaN or an infinity."""
    for name, array in arrays:
        if array.dtype.kind not in "iub" and not bool(array_module(array).isfinite(array).all()):
            return name
    return None


def check_finite(row: Mapping[str, Any], step: int) -> None:
    """NotFiniteError where a number of metrics.jsonl, or one in a list there, is not finite."""
    for name, value in row.items():
        if not _is_finite(value):
            raise NotFiniteError(f"step {step}: {name} is {value if isinstance(value, float) else 'not finite'}")


def _is_finite(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return all(map(_is_finite, value))
    return not isinstance(value, float) or math.isfinite(value)
