"""Who does the work: this process, several of this machine, or the ranks of an MPI job. The outcome is the same."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from scratchgrad.parallel import announced, task_executor
from scratchgrad.threads import usable_cores
from scratchgrad.tools.processes import map_in_processes

Work = Callable[[Any], Any]


class Pool(ABC):
    """Tasks are independent of each other and may be done twice: each leaves its outcome on the disk, whole or not at
    all. Only what is small should be returned.
    """

    workers: int

    @abstractmethod
    def map(self, work: Work, tasks: Sequence[Any]) -> Iterator[Any]:
        """What `work` returns of each task, in their order. What one raises is raised here; UserError where a worker
        was lost.
        """


class ProcessPool(Pool):
    """Processes of this machine; with one worker, this process."""

    def __init__(self, workers: int) -> None:
        self.workers = workers

    def map(self, work: Work, tasks: Sequence[Any]) -> Iterator[Any]:
        if self.workers == 1 or len(tasks) == 1:
            return map(work, tasks)
        return map_in_processes(work, tasks, min(self.workers, len(tasks)), 1)


class RankPool(Pool):
    """The other ranks of an MPI job, by `mpi4py.futures`. A rank that is lost ends the job, as the launcher does it."""

    def __init__(self, executor: Any, workers: int) -> None:
        self._executor, self.workers = executor, workers

    def map(self, work: Work, tasks: Sequence[Any]) -> Iterator[Any]:
        futures = [self._executor.submit(work, task) for task in tasks]
        try:
            for future in futures:
                yield future.result()
        finally:
            for future in futures:
                future.cancel()


@contextmanager
def worker_pool(workers: int | None = None) -> Iterator[Pool | None]:
    """The pool of this machine's cores, or of the ranks that a launcher started: the pool on rank 0, and None on the
    others, once they have worked.
    """
    world = announced()
    if world is None or world.size == 1:
        yield ProcessPool(workers or usable_cores())
        return
    with task_executor() as executor:
        yield None if executor is None else RankPool(executor, world.size - 1)
