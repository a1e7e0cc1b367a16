"""No rank may keep the others waiting for ever: stopped ranks are found and named, failing ones end the job."""

from __future__ import annotations

import os
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn, Self

from scratchgrad.errors import UserError
from scratchgrad.files import machine_fault
from scratchgrad.parallel import Communicator
from scratchgrad.tools.commands.ending import EndedBySignal
from scratchgrad.train.guard import signs_of_life
from scratchgrad_start import tell_guard, whereabouts

SLOT = 256  # bytes of the heartbeat file for each rank: a counter, who the rank is and what it is doing
SILENT_RANK = 17  # the exit code of a job whose watchdog ended it
SECONDS_TO_SPEAK = 2.0  # on a busy machine a line and an abort take longer than one would think
SECONDS_TO_ABORT = 5.0


class Watchdog:
    """A thread in each rank that shows a sign of life to the others, and looks for theirs. It relieves the guard.

    Every rank writes a counter and its phase into its slot of one file in the run's folder. A counter that stands still
    for `deadline` seconds of the observer's own clock belongs to a process that is stopped, swapped out or cut off: the
    observer says which, and ends the job. So does a rank of its own main thread, if that has not run for as long: it
    is stuck, for computing and waiting for others both take some of a processor. A long phase needs no special case.
    """

    def __init__(self, folder: Path, comm: Communicator, deadline: float = 20.0) -> None:
        self._path, self._comm, self._deadline = folder / ".heartbeat", comm, deadline
        self._interval = min(0.5, deadline / 8)
        self._doing, self._may_wait = "start", False
        self._end = threading.Event()
        self._thread: threading.Thread | None = None

    def phase(self, name: str, step: int, may_wait: bool = False) -> None:
        """What this rank is doing now, to be said of it should it fall silent. may_wait: its main thread may sleep."""
        self._doing, self._may_wait = f"{name} of step {step}", may_wait

    @property
    def doing(self) -> str:
        return self._doing

    def __enter__(self) -> Self:
        if self._comm.size > 1:
            if self._comm.rank == 0:
                self._path.write_bytes(bytes(SLOT * self._comm.size))
            self._comm.barrier()
            self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)
            self._thread.start()
            tell_guard("end")
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        if self._thread is None:
            return
        if kind is None:
            self._comm.barrier()  # still watched, so that nobody waits here for ever; then all stop together
        self._end.set()
        self._thread.join()
        if self._comm.rank == 0:
            self._path.unlink(missing_ok=True)

    def _watch(self) -> None:
        file = os.open(self._path, os.O_RDWR)
        last_change: dict[int, tuple[bytes, float]] = {}
        beat, looked, signs, ran = 0, time.monotonic(), signs_of_life(os.getpid()), time.monotonic()
        try:
            while not self._end.wait(self._interval):
                beat += 1
                mine = f"{beat} {whereabouts()}|{self._doing}".encode()[:SLOT].ljust(SLOT, b"\0")
                os.pwrite(file, mine, SLOT * self._comm.rank)
                now = time.monotonic()
                if now - looked > self._deadline / 2:
                    last_change.clear()  # we were asleep ourselves (a suspended machine): all clocks start anew
                    ran = now
                looked = now
                before, signs = signs, signs_of_life(os.getpid())
                if signs != before or self._may_wait:
                    ran = now
                elif now - ran > self._deadline:
                    self._say(f"{whereabouts()} is stuck: its main thread has not run", self._doing)
                    self._abort()
                for rank in range(self._comm.size):
                    slot = os.pread(file, SLOT, SLOT * rank)
                    if rank not in last_change or last_change[rank][0] != slot:
                        last_change[rank] = slot, now
                silent = [rank for rank, (_, since) in last_change.items() if now - since > self._deadline]
                if silent:
                    self._end_the_job(silent, {rank: slot for rank, (slot, _) in last_change.items()})
        finally:
            os.close(file)

    def _end_the_job(self, silent: list[int], slots: dict[int, bytes]) -> None:
        speaker = min(set(slots) - set(silent))
        if self._comm.rank != speaker:
            time.sleep(SECONDS_TO_SPEAK)  # the first living rank speaks and ends the job; the others only if it fails
        for rank in silent:
            _, _, told = slots[rank].rstrip(b"\0").decode(errors="replace").partition(" ")
            who, _, doing = told.partition("|")
            self._say(f"{who or f'rank {rank}'} has been silent", doing or "start")
        self._abort()

    def _say(self, what: str, doing: str) -> None:
        print(
            f"{what} for {self._deadline:g} s (it was in: {doing}); rank {self._comm.rank} ends the job. The newest "
            "checkpoint is whole: go on with --resume",
            file=sys.stderr,
            flush=True,
        )

    def _abort(self) -> NoReturn:
        threading.Timer(SECONDS_TO_ABORT, os._exit, [SILENT_RANK]).start()
        self._comm.abort(SILENT_RANK)


@contextmanager
def abort_on_error(comm: Communicator, watchdog: Watchdog | None = None) -> Iterator[None]:
    """An exception on one rank would leave the others waiting: say what happened and where, then end all of them.

    A UserError is one sentence and exit code 2, a signal its exit code alone, anything else a traceback and 1. A world
    of one just raises.
    """
    try:
        yield
    except BaseException as error:
        if comm.size == 1:
            raise
        if isinstance(error, EndedBySignal):
            comm.abort(error.exit_code)
        if isinstance(error, OSError):
            error = machine_fault(error) or error
        if isinstance(error, UserError):
            # If all ranks have met the same mistake, rank 0 tells it; the others give it time to do so.
            time.sleep(0.0 if comm.rank == 0 else 1.0)
            print(f"Error: {error}", file=sys.stderr, flush=True)
            comm.abort(2)
        where = f" in {watchdog.doing}" if watchdog is not None else ""
        print(f"rank {comm.rank} failed{where}:\n{traceback.format_exc()}", file=sys.stderr, end="", flush=True)
        comm.abort(error.code if isinstance(error, SystemExit) and isinstance(error.code, int) and error.code else 1)
