"""How many threads compute, and who may use them: BLAS inside one product, or our pool with many small tasks.

The two must not meet: a small product inside a pool that starts threads of its own fights with its neighbours. So BLAS
has all threads outside `parallel_map`, and one inside. Tasks are cut by shape alone, never by the number of threads,
and so give the same bits on any number.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable
from contextvars import copy_context
from functools import partial
from threading import Lock, Thread
from typing import Any, TypeVar

import numpy as np
from numpy.lib.stride_tricks import as_strided
from threadpoolctl import ThreadpoolController

T = TypeVar("T")
Task = TypeVar("Task")

LOOKS = 2_000_000  # at a flag, before a thread goes to sleep: about a millisecond
CALLS = 20_000  # times that a flag is set, without the GIL: long enough for a helper to begin its first task


def usable_cores() -> int:
    """The cores that this process may run on: a container or a launcher may have given it a share of the machine's."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class _Helper:
    """A thread that does one piece of work after another.

    To wake a thread up takes 50 microseconds. So whoever waits first looks at a flag again and again, in a reduction
    that releases the GIL and ends at the first look that sees it. The flag is given in a call that has released the
    GIL, too, because who then finds it taken falls asleep. Flags only save time: the locks say what is so.
    """

    def __init__(self) -> None:
        self._work: Callable[[], None] | None = None
        self._error: BaseException | None = None
        self._begin, self._end = Lock(), Lock()
        self._begin.acquire()
        self._end.acquire()
        self._called, self._working = np.zeros((), bool), np.zeros((), bool)
        self._until_called = np.broadcast_to(self._called, LOOKS)
        self._while_working = np.broadcast_to(self._working, LOOKS)
        self._calls = as_strided(self._called, (CALLS,), (0,))
        self._thread = Thread(target=self._run, name="scratchgrad", daemon=True)
        self._thread.start()

    def start(self, work: Callable[[], None] | None) -> None:
        self._work = work
        self._working[...] = True
        self._begin.release()
        self._calls[...] = True

    def wait(self) -> BaseException | None:
        """When the work is done: what it raised."""
        np.logical_and.reduce(self._while_working)
        self._end.acquire()
        error, self._error = self._error, None
        return error

    def stop(self) -> None:
        self.start(None)
        self._thread.join()

    def _run(self) -> None:
        while True:
            np.logical_or.reduce(self._until_called, out=self._working)  # first clears `working`
            self._begin.acquire()
            if self._work is None:
                return
            try:
                self._work()
            except BaseException as error:
                self._error = error
            self._work = None
            self._called[...] = False
            self._end.release()


_blas = [library for library in ThreadpoolController().lib_controllers if library.user_api == "blas"]
_count = usable_cores()
_helpers: list[_Helper] = []
_spreading = Lock()


def threads() -> int:
    return _count


def set_threads(count: int) -> None:
    """Let BLAS and the pool use `count` threads from now on."""
    global _count
    if count < 1:
        raise ValueError(f"set_threads({count}): at least one thread has to work")
    with _spreading:
        _count = count
        while _helpers:
            _helpers.pop().stop()
    _limit_blas(count)


def parallel_map(work: Callable[[Task], T], tasks: Iterable[Task]) -> list[T]:
    """[work(task) for task in tasks], on all threads. Worth it where the work releases the GIL.

    Whoever spreads while another does (a task, or a thread of the user's) does all of its own work.
    """
    todo = list(tasks)
    if _count == 1 or not _spreading.acquire(blocking=False):
        return [work(task) for task in todo]
    results: list[Any] = [None] * len(todo)
    numbers = iter(range(len(todo)))  # shared: whoever is free takes the next task

    def drain() -> None:
        try:
            for number in numbers:
                results[number] = work(todo[number])
        finally:
            deque(numbers, maxlen=0)  # after an error nobody begins another task

    _limit_blas(1)
    try:
        wanted = min(_count, len(todo)) - 1
        while len(_helpers) < wanted:
            _helpers.append(_Helper())
        called = _helpers[:wanted]
        for helper in called:
            helper.start(partial(copy_context().run, drain))  # what holds in this thread holds for its tasks
        try:
            drain()  # at once: helpers wait until a task releases the GIL
        finally:
            errors = [helper.wait() for helper in called]
    except (KeyboardInterrupt, SystemExit):  # what signals raise
        _helpers.clear()  # some may still be at work
        raise
    finally:
        _limit_blas(_count)
        _spreading.release()
    for error in errors:
        if error is not None:
            raise error
    return results


def _forget_helpers() -> None:
    """In a forked process, which has none of its parent's threads."""
    global _spreading
    _spreading = Lock()
    _helpers.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_helpers)


def tiles(length: int, size: int) -> list[slice]:
    """Neighbouring slices of `size` (the last may be shorter) that cover range(length)."""
    return [slice(start, min(start + size, length)) for start in range(0, length, size)]


def _limit_blas(count: int) -> None:
    for library in _blas:
        library.set_num_threads(count)
