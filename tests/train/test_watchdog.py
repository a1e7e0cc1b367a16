"""A rank that fails, is killed or stops ends the whole job: soon, with a failure, and with what is known of it."""

import os
import signal
import time

import pytest

pytestmark = pytest.mark.mpi
slow = pytest.mark.slow

DEADLINE = 2.0
ENDLESS = ("train.steps=1000000", f"train.watchdog_seconds={DEADLINE}", "log.run_dir=run", "checkpoint.every_steps=50")


def running(start, recipe, ranks=4):
    """A job that has taken some steps and written a checkpoint."""
    job = start("scratchgrad-train", recipe, *ENDLESS, ranks=ranks)
    job.wait_for("step 20/")
    return job


@pytest.mark.parametrize("rank", [0, pytest.param(3, marks=slow)])
def test_a_rank_that_was_stopped_is_found_and_named(start, recipe, rank):
    job = running(start, recipe)
    os.kill(job.ranks()[rank], signal.SIGSTOP)
    began = time.monotonic()
    assert job.end() != 0
    assert time.monotonic() - began < DEADLINE + 8
    assert f"rank {rank} has been silent for 2 s (it was in: " in job.output
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
import sys, time
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
            if kind == "leave":
                import os
                os._exit(3)
        if kind == "end" and step == 30:
            break
        if kind == "busy" and step == 20:
            time.sleep(5.0 if comm.rank == who else 0.0)
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
    """A checkpoint or an evaluation may take longer than the deadline: the thread beats on."""
    job = start(FAILING, "busy", 1, ranks=2)
    assert job.end() == 0, job.output
    assert job.output.count("came to the end") == 2


def test_a_job_that_ends_well_leaves_no_heartbeat(tmp_path, start):
    job = start(FAILING, "end", 0, ranks=4)
    assert job.end() == 0, job.output
    assert not (tmp_path / ".heartbeat").exists()


def test_a_rank_that_leaves_without_a_word_ends_all(start):
    """With a code of its own: one that leaves with 0 is ended by the launcher, too, which may then return 0."""
    job = start(FAILING, "leave", 2, ranks=4)
    assert job.end() != 0
    assert "came to the end" not in job.output
