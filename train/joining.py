"""What every rank does before MPI starts; where it fails on one of them, the job ends soon, and the rank is named."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple, NoReturn, TypeVar

import numpy as np

from scratchgrad.errors import UserError
from scratchgrad.files import machine_fault
from scratchgrad.parallel import Announcement, Communicator, connect
from scratchgrad_start import all_ranks_leave, end_the_job, mpi_has_started, processes_of_rank, tell_guard

T = TypeVar("T")
SECONDS_TO_JOIN = 10.0  # a rank that failed waits so long for the others to hear of it
SECONDS_TO_TELL = 1.0  # rank 0 has to tell a mistake before another rank's end makes the launcher end them all
LONGEST_FAULT = 1 << 16  # bytes

# MPI's start waits for all ranks and holds Python's lock, so that only another process can end the wait. Launchers end
# a job whose process dies by a signal; not all do when one leaves with an exit code before MPI has started.
TELLER = """
import os, select, signal, sys, time
if not select.select([sys.stdin], [], [], float(sys.argv[1]))[0]:
    print(sys.argv[2], file=sys.stderr, flush=True)
    time.sleep(0.5)
    for process in sys.argv[3:]:
        os.kill(int(process), signal.SIGKILL)
"""


class Fault(NamedTuple):
    """Why a rank cannot go on, and its exit code: 2 for a user's mistake, 1 for anything else."""

    text: str
    code: int


def join(work: Callable[[], T], world: Announcement | None) -> tuple[T, Communicator]:
    """What `work` returns, and the communicator of the ranks, once `work` is done on each of them.

    Where it raises, all ranks exit, and rank 0 has told why: once what all of them met, else by rank and host. A rank
    that fails while others are still at work waits SECONDS_TO_JOIN for them, then tells it itself and ends the job.
    """
    if world is None:
        return work(), connect()
    tell_guard("phase recipe and text")
    try:
        result, fault = work(), None
    except UserError as mistake:
        fault = Fault(f"Error: {mistake}", 2)
    except Exception as error:
        told = machine_fault(error) if isinstance(error, OSError) else None
        fault = Fault(traceback.format_exc().rstrip(), 1) if told is None else Fault(f"Error: {told}", 2)
    tell_guard("waits MPI's start")
    try:
        with _ends_the_job(fault, world):
            comm = connect()
    except UserError as mistake:
        if mpi_has_started():  # in each rank, for itself: all find the same mistake
            time.sleep(0.0 if world.rank == 0 else SECONDS_TO_TELL)
        elif not all_ranks_leave():
            end_the_job(_of_rank(f"Error: {mistake}", world.rank, os.uname().nodename))
        if world.rank == 0:
            raise
        sys.exit(2)
    tell_guard("phase start of the ranks")
    faults = _faults_of_all(fault, comm)
    if any(faults):
        _leave(faults, comm)
    return result, comm


@contextmanager
def _ends_the_job(fault: Fault | None, world: Announcement) -> Iterator[None]:
    """Where this rank has failed: end the job unless the block is over in SECONDS_TO_JOIN."""
    if fault is None:
        yield
        return
    told = _of_rank(fault.text, world.rank, os.uname().nodename)[:LONGEST_FAULT]
    words = [sys.executable, "-S", "-c", TELLER, str(SECONDS_TO_JOIN), told, *map(str, processes_of_rank())]
    with subprocess.Popen(words, stdin=subprocess.PIPE):
        yield


def _faults_of_all(fault: Fault | None, comm: Communicator) -> list[tuple[str, Fault] | None]:
    """By rank: the host and what went wrong there; None where all is well."""
    text = "" if fault is None else f"{fault.code}\n{os.uname().nodename}\n{fault.text}"
    told = comm.all_gatherv(np.frombuffer(text.encode(errors="replace")[:LONGEST_FAULT], np.uint8))
    faults: list[tuple[str, Fault] | None] = []
    for part in told:
        code, _, rest = part.tobytes().decode(errors="replace").partition("\n")
        host, _, text = rest.partition("\n")
        faults.append((host, Fault(text, int(code))) if code else None)
    return faults


def _leave(faults: list[tuple[str, Fault] | None], comm: Communicator) -> NoReturn:
    failed = [(rank, *fault) for rank, fault in enumerate(faults) if fault is not None]
    texts = {fault.text for _, _, fault in failed}
    if comm.rank == 0:
        if len(failed) == comm.size and len(texts) == 1:
            print(failed[0][2].text, file=sys.stderr, flush=True)
        else:
            for text in sorted(texts):
                rank, host, _ = next(one for one in failed if one[2].text == text)
                print(_of_rank(text, rank, host), file=sys.stderr, flush=True)
    comm.barrier()
    sys.exit(max(fault.code for _, _, fault in failed))


def _of_rank(text: str, rank: int, host: str) -> str:
    if text.startswith("Error: "):
        return f"Error: rank {rank} on {host}: {text.removeprefix('Error: ')}"
    return f"rank {rank} on {host} failed:\n{text}"
