"""Work that is shared out to processes, in bounded memory, and without waiting for one that is no more."""

from __future__ import annotations

import multiprocessing
import signal
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from multiprocessing.connection import Connection, wait
from typing import Any, TypeVar

from scratchgrad.errors import UserError

Item = TypeVar("Item")
Result = TypeVar("Result")

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
AHEAD = 4  # chunks for each worker that may be done before an earlier one is
SECONDS_TO_HEAR = 0.2
HEAVY = 4 << 20  # of whatever the caller weighs by, as characters
_fork = multiprocessing.get_context("fork")


def map_in_processes(
    work: Callable[[Item], Result],
    items: Iterable[Item],
    workers: int,
    chunk: int,
    weigh: Callable[[Item], int] = lambda item: 0,
) -> Iterator[Result]:
    """`work` of each item, in their order; a process takes `chunk` of them at a time, or as many as weigh `HEAVY`.

    Workers are forks: they have `work`, with a tokenizer in it and what its cache holds, without a copy. What is raised
    by an item is raised here. UserError where a worker is killed, as the kernel does when memory runs out.
    """
    crew: list[_Worker] = []
    try:
        for _ in range(workers):
            crew.append(_Worker(work, [worker.connection for worker in crew]))
        yield from _in_order(crew, _chunks(items, chunk, weigh))
    finally:
        for worker in crew:
            worker.end()


def _chunks(items: Iterable[Item], most: int, weigh: Callable[[Item], int]) -> Iterator[list[Item]]:
    held: list[Item] = []
    weight = 0
    for item in items:
        held.append(item)
        weight += weigh(item)
        if len(held) == most or weight >= HEAVY:
            yield held
            held, weight = [], 0
    if held:
        yield held


def _in_order(crew: list[_Worker], chunks: Iterator[list[Any]]) -> Iterator[Any]:
    idle, busy = list(crew), list[_Worker]()
    done: dict[int, list[Any]] = {}  # by the number of the chunk
    given = wanted = 0
    while True:
        while idle and given - wanted < AHEAD * len(crew) and (part := next(chunks, None)):
            worker = idle.pop()
            worker.start(given, part)
            busy.append(worker)
            given += 1
        if given == wanted:
            return
        while wanted not in done:
            ready = wait([worker.connection for worker in busy])
            for worker in [worker for worker in busy if worker.connection in ready]:
                number, results = worker.results()
                done[number] = results
                busy.remove(worker)
                idle.append(worker)
        yield from done.pop(wanted)
        wanted += 1


class _Worker:
    """A process that is given one chunk at a time. others: the ends of pipes that it must not hold open."""

    def __init__(self, work: Callable[[Any], Any], others: list[Connection]) -> None:
        self.connection, its_end = _fork.Pipe()
        self.process = _fork.Process(
            target=_serve, args=(work, its_end, [*others, self.connection]), daemon=True, name="scratchgrad worker"
        )
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)  # one that comes now is heard by the parent's handler
        try:
            self.process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        its_end.close()

    def start(self, number: int, chunk: list[Any]) -> None:
        try:
            self.connection.send((number, chunk))
        except OSError:
            raise self._lost() from None

    def results(self) -> tuple[int, list[Any]]:
        try:
            number, results, fault = self.connection.recv()
        except (EOFError, OSError):
            raise self._lost() from None
        if fault is not None:
            raise fault
        return number, results

    def end(self) -> None:
        self.connection.close()
        self.process.kill()  # a stopped one would not hear anything else
        self.process.join()

    def _lost(self) -> UserError:
        self.process.join(5)
        code = self.process.exitcode
        if code in (-signal.SIGTERM, -signal.SIGHUP):
            time.sleep(SECONDS_TO_HEAR)  # what ended it may have been sent to us as well, and is on its way
        how = f"by {signal.Signals(-code).name}" if code is not None and code < 0 else f"with exit code {code}"
        return UserError(
            f"worker process {self.process.pid} was ended {how} before its text was done; the kernel does that where "
            "memory is short: use fewer cores (taskset -c 0), or shorter texts"
        )


def _serve(work: Callable[[Any], Any], connection: Connection, others: list[Connection]) -> None:
    """Until the parent is gone or closes the pipe."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent hears it too, and ends the workers
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)  # not the parent's way to end
    signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDING)
    for other in others:
        other.close()
    while True:
        try:
            number, chunk = connection.recv()
        except (EOFError, OSError):
            return
        try:
            answer: tuple[int, list[Any], Exception | None] = number, [work(item) for item in chunk], None
        except Exception as error:
            error.add_note("in a worker process:\n" + traceback.format_exc())
            answer = number, [], error
        try:
            connection.send(answer)
        except OSError:
            return
