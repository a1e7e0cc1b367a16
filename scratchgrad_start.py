"""How a command starts. Of the standard library alone: scratchgrad takes a second to import, and this holds before.

A signal that comes while the command is imported ends it at once, and quietly. A rank of a job has a guard (another
process, train/guard.py) from its first moment on; and where it leaves before MPI has started, no other waits for it.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import traceback
from functools import cache
from importlib import import_module
from pathlib import Path
from types import FrameType
from typing import NoReturn

COMMANDS = {
    "train": "scratchgrad.train.commands.train",
    "bench": "scratchgrad.train.commands.bench",
    "sample": "scratchgrad.tools.commands.sample",
    "convert": "scratchgrad.tools.commands.convert",
    "tokenize": "scratchgrad.tools.commands.tokenize",
    "curate": "scratchgrad.tools.commands.curate",
}
# Rank, size, and size on this machine, as launchers announce them. scratchgrad.parallel knows more of it, and is large.
LAUNCHERS = (
    ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_SIZE"),
    ("PMI_RANK", "PMI_SIZE", "MPI_LOCALNRANKS"),
    ("SLURM_PROCID", "SLURM_STEP_NUM_TASKS", ""),
)
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
GUARD = "SCRATCHGRAD_GUARD"  # in the environment: the descriptor that the guard reads
SECONDS_TO_LEAVE = 3.0  # ranks that leave for one reason do so within this time
SECONDS_TO_BE_HEARD = 0.5  # launchers drop what a rank said just before its end; and its neighbours have to see it
LEAVING = "rank-leaves"  # what a rank that leaves calls itself


def train() -> None:
    _run("train", may_be_rank=True)


def bench() -> None:
    _run("bench")


def sample() -> None:
    _run("sample")


def convert() -> None:
    _run("convert")


def tokenize() -> None:
    _run("tokenize")


def curate() -> None:
    _run("curate", may_be_rank=True)


def tell_guard(line: str) -> None:
    """What this rank is in (`phase ...`, or `waits ...` where it may stand still), `deadline <seconds>`, or `end`."""
    if GUARD in os.environ:
        try:
            os.write(int(os.environ[GUARD]), f"{line}\n".encode())
        except OSError:
            del os.environ[GUARD]  # it is gone, and the job goes on without


def whereabouts() -> str:
    """As all messages name a rank."""
    return f"rank {_rank()} on {os.uname().nodename} (process {os.getpid()})"


def mpi_has_started() -> bool:
    return "mpi4py.MPI" in sys.modules


def is_told_by_another() -> bool:
    """May this process, which ends by a mistake, be silent? It may where rank 0 ends as well."""
    return _is_rank and _rank() != "0" and not mpi_has_started() and all_ranks_leave()


@cache
def all_ranks_leave() -> bool:
    """Is this rank, which leaves before MPI has started, one of all that do? Known of ranks on one machine only."""
    size, local_size = _sizes()
    if size != local_size:
        return False
    try:
        Path("/proc/self/comm").write_text(LEAVING)
    except OSError:
        return False
    end = time.monotonic() + SECONDS_TO_LEAVE
    while time.monotonic() < end:
        if _leaving_neighbours() >= size:
            time.sleep(SECONDS_TO_BE_HEARD)
            return True
        time.sleep(0.02)
    return False


def end_the_job(reason: str) -> NoReturn:
    """Where this rank alone leaves before MPI has started: the others wait for it in MPI's start.

    A launcher ends a job whose process dies by a signal; not all do so where one leaves with an exit code.
    """
    print(reason, file=sys.stderr, flush=True)
    time.sleep(SECONDS_TO_BE_HEARD)
    for process in processes_of_rank():
        os.kill(process, signal.SIGKILL)
    raise AssertionError("unreachable")


def processes_of_rank() -> list[int]:
    """This process, and what stands between the launcher and it, as a shell does; the outermost, whose end the launcher
    sees, first. They are those that were told the same rank.
    """
    name = next((names[0] for names in LAUNCHERS if names[0] in os.environ), None)
    found = [os.getpid()]
    while name is not None and (parent := _parent(found[0])):
        try:
            told = Path(f"/proc/{parent}/environ").read_bytes().split(b"\0")
        except OSError:
            break
        if f"{name}={os.environ[name]}".encode() not in told:
            break
        found.insert(0, parent)
    return found


def _run(command: str, may_be_rank: bool = False) -> None:
    global _is_rank
    _is_rank = may_be_rank and _sizes()[0] > 1
    left: list[float] = []

    def end(number: int, frame: FrameType | None) -> None:
        if left and time.monotonic() - left[0] < SECONDS_TO_LEAVE:
            return  # it ends already
        _leave(128 + number)
        os._exit(128 + number)

    for number in SIGNALS:
        if signal.getsignal(number) != signal.SIG_IGN:  # as under nohup
            signal.signal(number, end)
    if _is_rank:
        _start_guard()
    try:
        import_module(COMMANDS[command]).main()
    except SystemExit as told:
        code = told.code if isinstance(told.code, int) else int(told.code is not None)
        if isinstance(told.code, str):
            print(told.code, file=sys.stderr, flush=True)
    except BaseException:
        traceback.print_exc()
        code = 1
    else:
        code = 0
    left.append(time.monotonic())
    _leave(code)
    sys.exit(code)


def _leave(code: int) -> None:
    if code and _is_rank and not mpi_has_started() and not all_ranks_leave():
        end_the_job(f"{whereabouts()} left with exit code {code} before MPI had started: the job ends")


def _rank() -> str:
    return next((os.environ[names[0]] for names in LAUNCHERS if names[0] in os.environ), "0")


def _sizes() -> tuple[int, int]:
    """Of the job, and of its part on this machine, or 0 where that is not told."""
    is_shell = "SLURM_PTY_PORT" in os.environ and os.environ.get("SLURM_TASK_PID") != str(os.getpid())  # of srun --pty
    for rank, *sizes in LAUNCHERS[:2] if is_shell else LAUNCHERS:
        if os.environ.get(rank, "").isdigit():
            size, local_size = (int(os.environ[name]) if os.environ.get(name, "").isdigit() else 0 for name in sizes)
            return size, local_size
    return 1, 1


def _leaving_neighbours() -> int:
    """How many processes below this one's launcher, itself among them, leave."""
    launcher, count = _parent(processes_of_rank()[0]), 0
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and _status(int(entry.name))[0] == LEAVING:
            process = int(entry.name)
            while process not in (0, launcher):
                process = _parent(process)
            count += process == launcher
    return count


def _parent(process: int) -> int:
    return _status(process)[1]


def _status(process: int) -> tuple[str, int]:
    """Name and parent of a process; nothing of one that is gone."""
    try:
        text = Path(f"/proc/{process}/stat").read_text(errors="replace")
    except OSError:
        return "", 0
    name, _, rest = text.partition(" (")[2].rpartition(") ")
    return name, int(rest.split()[1])


def _start_guard() -> None:
    global _guard
    program = Path(__file__).parent / "scratchgrad" / "train" / "guard.py"
    reader, writer = os.pipe()
    try:
        _guard = subprocess.Popen(
            [sys.executable, "-I", "-S", str(program), whereabouts(), *map(str, processes_of_rank())],
            stdin=reader, stdout=subprocess.DEVNULL,
        )  # fmt: skip
        os.environ[GUARD] = str(writer)
    except OSError:  # no process is to be had: the job can be trained, and is not watched before it trains
        os.close(writer)
    finally:
        os.close(reader)


_is_rank = False
_guard: subprocess.Popen[bytes] | None = None
