"""Who does the work: this process, several of this machine, or the ranks of an MPI job. The outcome is the same."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

ATTEMPTS = 3  # of a task whose worker was lost

Task = Any
Work = Callable[[Task], None]
Done = Callable[[int], None]


class Pool(ABC):
    """Tasks are independent and may be done twice: each leaves its outcome on the disk, whole or not at all."""

    @abstractmethod
    def run(self, work: Work, tasks: Sequence[Task]) -> None:
        """Every task, in any order. What one raises is raised here, when no other is at work any more."""
