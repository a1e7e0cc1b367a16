"""A rank that fails, is killed or stops ends the whole job: soon, with a failure, and with what is known of it."""

import os
import signal
import sys
import time
from pathlib import Path
from subprocess import PIPE, Popen

import pytest

from scratchgrad.train import guard

pytestmark = pytest.mark.mpi
slow = pytest.mark.slow

DEADLINE = 2.0
HOST = os.uname().nodename
ENDLESS = ("train.steps=1000000", f"train.watchdog_seconds={DEADLINE}", "log.run_dir=run", "checkpoint.every_steps=50")


def running(start, recipe, ranks=4):
    """A job that has taken some steps and written a checkpoint."""
    job = start("scratchgrad-train", recipe, *ENDLESS, ranks=ranks)
    job.wait_for("step 20/")
    return job


@pytest.mark.parametrize("rank", [0, pytest.param(3, marks=slow)])
def test_a_rank_that_was_stopped_is_found_and_named(start, recipe, rank):
    job = running(start, recipe)
    process = job.ranks()[rank]
    os.kill(process, signal.SIGSTOP)
    began = time.monotonic()
    assert job.end() != 0
    assert time.monotonic() - began < DEADLINE + 8
    assert f"rank {rank} on {HOST} (process {process}) has been silent for 2 s (it was in: " in job.output
    assert f"rank {1 if rank == 0 else 0} ends the job" in job.output
    assert "go on with --resume" in job.output
    assert job.output.count("has been silent") == 1


@pytest.mark.parametrize("rank", [2, pytest.param(0, marks=slow)])
def test_a_rank_that_was_killed_ends_the_job(start, recipe, rank):
    job = running(start, recipe)
    others = job.ranks()
    os.kill(others.pop(rank), signal.SIGKILL)
    began = time.monotonic()
    assert job.end() != 0
    assert time.monotonic() - began < DEADLINE + 8
    assert not any(is_running(pid) for pid in others.values())


def is_running(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


FAILING = """
import sys, threading, time
from pathlib import Path
from scratchgrad import UserError
from scratchgrad.parallel import connect
from scratchgrad.train.watchdog import Watchdog, abort_on_error
kind, who = sys.argv[1], int(sys.argv[2])
comm = connect()
with Watchdog(Path("."), comm, deadline=2.0) as watchdog, abort_on_error(comm, watchdog):
    for step in range(1000):
        watchdog.phase("step", step)
        comm.barrier()
        if step == 20 and (comm.rank == who or who < 0):
            if kind == "user":
                raise UserError("the recipe cannot be")
            if kind == "bug":
                raise RuntimeError("this is a bug")
            if kind == "exit":
                sys.exit(7)
            if kind == "hang":
                while True:
                    pass
            if kind == "stuck":
                lock = threading.Lock()
                lock.acquire()
                lock.acquire()
            if kind == "leave":
                import os
                os._exit(3)
        if kind == "end" and step == 30:
            break
        if kind == "busy" and step == 20:
            end = time.monotonic() + 5.0
            while comm.rank == who and time.monotonic() < end:
                sum(range(1000))
            break
print("came to the end", flush=True)
"""


def test_a_bug_on_one_rank_shows_its_traceback_and_ends_all(start):
    job = start(FAILING, "bug", 1, ranks=4)
    assert job.end() == 1, job.output
    assert "rank 1 failed in step of step 20:" in job.output
    assert "RuntimeError: this is a bug" in job.output
    assert "came to the end" not in job.output


@pytest.mark.parametrize("who", [3, pytest.param(0, marks=slow), -1])
def test_a_users_mistake_is_one_sentence_and_exit_code_2(start, who):
    job = start(FAILING, "user", who, ranks=4)
    assert job.end() == 2, job.output
    assert job.output.count("Error: the recipe cannot be") == 1
    assert "Traceback" not in job.output


def test_an_exit_on_one_rank_ends_all_with_its_code(start):
    assert start(FAILING, "exit", 2, ranks=4).end() == 7


def test_a_long_phase_is_no_stall(start):
    """An evaluation may take longer than the deadline: the thread beats on, and its own main thread runs."""
    job = start(FAILING, "busy", 1, ranks=2)
    assert job.end() == 0, job.output
    assert job.output.count("came to the end") == 2


def test_a_rank_whose_main_thread_is_stuck_is_found_and_named(start):
    """It waits for a lock, and its other threads go on: the others get its sign of life, and wait for it."""
    job = start(FAILING, "stuck", 1, ranks=2)
    process = None
    while process is None:
        process = job.ranks().get(1)
    assert job.end(40) != 0
    assert (
        f"rank 1 on {HOST} (process {process}) is stuck: its main thread has not run for 2 s (it was in: step of step 20)"
        in job.output
    )


BEFORE_MPI = """
import os, signal, sys, threading, time
rank, kind, who = int(os.environ["PMI_RANK"]), sys.argv[1], int(sys.argv[2])
sys.argv = ["scratchgrad-train", "tiny.yaml", "log.run_dir=run", "train.steps=5", "train.watchdog_seconds=2"]
import scratchgrad_start
if kind == "start" and rank == who:
    module = scratchgrad_start.COMMANDS["train"] = "stopped"
    open("stopped.py", "w").write("import os, signal; os.kill(os.getpid(), signal.SIGSTOP)")
    sys.path.insert(0, ".")
else:
    from scratchgrad.train.commands import train
    prepare = train.prepare_data
    def prepare_data(*arguments):
        if rank == who:
            if kind == "stuck":
                threading.Event().wait()
            end = time.monotonic() + 6
            while kind == "late" and time.monotonic() < end:
                sum(range(1000))
        return prepare(*arguments)
    train.prepare_data = prepare_data
    from scratchgrad.tools.data import token_store
    append = token_store.TokenStoreWriter.append
    def stopped(*arguments):
        if kind == "lock":
            print(f"stops rank {rank}", flush=True)
            os.kill(os.getpid(), signal.SIGSTOP)
        return append(*arguments)
    token_store.TokenStoreWriter.append = stopped
scratchgrad_start.train()
"""


@pytest.mark.parametrize(("kind", "what"), [
    ("lock", "has been stopped for 2 s (it was in: recipe and text): the job ends"),
    ("stuck", "has not run for 2 s, as if it waited for what never comes (it was in: recipe and text): the job ends"),
    pytest.param("start", "has been stopped for 20 s (it was in: start): the job ends", marks=slow),
])  # fmt: skip
def test_a_rank_that_stands_still_before_mpi_has_started_is_found_and_named(start, recipe, kind, what):
    """The others wait for the lock of the data, or in MPI's start, which holds Python's lock."""
    job = start(BEFORE_MPI, kind, 1, ranks=3)
    ranks = {}
    while len(ranks) < 3:
        ranks = job.ranks()
    assert job.end(60) != 0
    rank = int(job.output.partition("stops rank ")[2].split()[0]) if kind == "lock" else 1
    assert job.output.count("the job ends") == 1, job.output
    assert f"rank {rank} on {HOST} (process {ranks[rank]}) {what}" in job.output


def test_a_rank_that_waits_for_another_in_mpis_start_does_not_stand_still(start, recipe):
    job = start(BEFORE_MPI, "late", 1, ranks=2)
    assert job.end() == 0, job.output


WITH_WORKERS = """
import os, signal, sys
from scratchgrad.tools.processes import map_in_processes
def work(number):
    if number == 20:
        print(os.getpid(), flush=True)
        os.kill(os.getpid(), signal.SIGSTOP)
    return number
list(map_in_processes(work, range(1000), 2, 1))
"""


def test_a_worker_that_was_stopped_is_named_as_well():
    with (
        Popen([sys.executable, "-c", WITH_WORKERS], stdout=PIPE, text=True) as rank,
        Popen(
            [sys.executable, guard.__file__, "rank 7", str(rank.pid)], stdin=PIPE, stderr=PIPE, text=True
        ) as watching,
    ):
        watching.stdin.write("phase text\ndeadline 1\n")
        watching.stdin.flush()
        worker = int(rank.stdout.readline())
        assert rank.wait(30) == -signal.SIGKILL
        said = watching.stderr.read()
    os.kill(worker, signal.SIGKILL)
    assert (
        said
        == f"rank 7 waits for its process {worker}, which has been stopped for 1 s (it was in: text): the job ends\n"
    )


def test_a_guard_ends_with_its_rank_and_where_the_watchdog_begins(start, recipe):
    job = start("scratchgrad-train", recipe, *ENDLESS, ranks=2)
    job.wait_for("step 20/")
    guards = [entry for entry in Path("/proc").iterdir() if entry.name.isdigit() and is_guard(entry, job)]
    assert guards == []


def is_guard(entry, job):
    try:
        words = (entry / "cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    return any(word.endswith(b"guard.py") for word in words) and str(next(iter(job.ranks().values()))).encode() in words


def test_a_job_that_ends_well_leaves_no_heartbeat(tmp_path, start):
    job = start(FAILING, "end", 0, ranks=4)
    assert job.end() == 0, job.output
    assert not (tmp_path / ".heartbeat").exists()


def test_a_rank_that_leaves_without_a_word_ends_all(start):
    """With a code of its own: one that leaves with 0 is ended by the launcher, too, which may then return 0."""
    job = start(FAILING, "leave", 2, ranks=4)
    assert job.end() != 0
    assert "came to the end" not in job.output
