"""How many threads compute, and who may use them: BLAS inside one product, or our pool with many small tasks.

The two must not meet: a small product inside a pool that starts threads of its own fights with its neighbours. So BLAS
has all threads outside `spread`, and one inside. Tasks are cut by shape alone, never by the number of threads, and so
give the same bits on any number.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any, TypeVar

import numpy as np  # noqa: F401  (loads the BLAS whose threads are counted)
from threadpoolctl import ThreadpoolController

T = TypeVar("T")
Task = TypeVar("Task")


def usable_cores() -> int:
    """The cores that this process may run on: a container or a launcher may have given it a share of the machine's."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


_blas = [library for library in ThreadpoolController().lib_controllers if library.user_api == "blas"]
_count = usable_cores()
_pool: ThreadPoolExecutor | None = None


def threads() -> int:
    return _count


def set_threads(count: int) -> None:
    """Let BLAS and the pool use `count` threads from now on."""
    global _count, _pool
    if count < 1:
        raise ValueError(f"set_threads({count}): at least one thread has to work")
    _count = count
    if _pool is not None:
        _pool.shutdown()
        _pool = None
    _limit_blas(count)


def spread(work: Callable[[Task], T], tasks: Iterable[Task]) -> list[T]:
    """[work(task) for task in tasks], on all threads. Worth it where the work lets go of the GIL."""
    global _pool
    todo = list(tasks)
    if _count == 1:
        return [work(task) for task in todo]
    if len(todo) == 1:
        return [_alone(work, todo[0])]
    if _pool is None:
        _pool = ThreadPoolExecutor(_count - 1, thread_name_prefix="scratchgrad")
    results: list[Any] = [None] * len(todo)
    numbers = iter(range(len(todo)))  # shared: whoever is free takes the next task

    def drain() -> None:
        for number in numbers:
            results[number] = work(todo[number])

    _limit_blas(1)
    helpers = [_pool.submit(drain) for _ in range(min(_count, len(todo)) - 1)]
    try:
        drain()
    finally:
        wait(helpers)
        _limit_blas(_count)
    for helper in helpers:
        helper.result()  # raises what was raised there
    return results


def _alone(work: Callable[[Task], T], task: Task) -> T:
    _limit_blas(1)
    try:
        return work(task)
    finally:
        _limit_blas(_count)


def tiles(length: int, size: int) -> list[slice]:
    """Neighbouring slices of `size` (the last may be shorter) that cover range(length)."""
    return [slice(start, min(start + size, length)) for start in range(0, length, size)]


def _limit_blas(count: int) -> None:
    for library in _blas:
        library.set_num_threads(count)
