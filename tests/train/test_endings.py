"""Signals, readers who leave, and ranks that fail before MPI has started: a job ends soon, with what it should keep."""

import os
import signal
import subprocess
import time

import pytest

from scratchgrad.tools.runs import checkpoints
from scratchgrad.train.signals import ECHO_SECONDS, StopRequest
from tests.jobs import SCRIPTS, descendants

pytestmark = pytest.mark.mpi
slow = pytest.mark.slow
ENDLESS = ("train.steps=1000000", "log.run_dir=run", "checkpoint.every_steps=1000000", "train.eval_every=20")


@pytest.mark.parametrize(("number", "ranks"), [
    (signal.SIGTERM, 2), (signal.SIGHUP, None), pytest.param(signal.SIGINT, 4, marks=slow),
    pytest.param(signal.SIGTERM, None, marks=slow),
])  # fmt: skip
def test_a_signal_to_every_process_of_a_job_saves_a_checkpoint(tmp_path, start, recipe, number, ranks):
    """As service managers, schedulers and terminals send it: the launcher and its daemons pass on theirs as well."""
    job = start("scratchgrad-train", recipe, *ENDLESS, ranks=ranks)
    job.wait_for("step 20/")
    for pid in [*descendants(job.process.pid), job.process.pid]:
        os.kill(pid, number)
    assert job.end() == 0, job.output
    assert "a signal asked for the end; --resume goes on from here" in job.output
    assert len(checkpoints(tmp_path / "run")) == 1


def test_repeated_signals_are_one_and_a_second_ctrl_c_waits_for_the_save(monkeypatch):
    with StopRequest() as stop:
        for number in (signal.SIGTERM, signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.raise_signal(number)
        assert stop.requested
        later = time.monotonic() + ECHO_SECONDS + 1
        monkeypatch.setattr(time, "monotonic", lambda: later)
        signal.raise_signal(signal.SIGTERM)
        saved = []

        def save():
            with stop.held():
                signal.raise_signal(signal.SIGINT)
                saved.append("all of it")

        with pytest.raises(KeyboardInterrupt):
            save()
        assert saved == ["all of it"]
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_what_nohup_ignores_stays_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with StopRequest() as stop:
            signal.raise_signal(signal.SIGHUP)
            assert not stop.requested
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_reader_who_leaves_ends_nothing(tmp_path, recipe):
    """`scratchgrad-train ... 2>&1 | head -1`"""
    words = [str(SCRIPTS / "scratchgrad-train"), recipe, "log.run_dir=run", "train.eval_every=5", "train.steps=20"]
    with subprocess.Popen(words, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.wait(90) == 0
    assert checkpoints(tmp_path / "run")[-1][0] == 20


ONE_FAILS = """
import os, sys, time
from scratchgrad import UserError
from scratchgrad.parallel import announced
from scratchgrad.train import joining
kind, who = sys.argv[1], int(sys.argv[2])
world = announced()
joining.SECONDS_TO_JOIN = 1.5

def work():
    if who in (world.rank, -1):
        if kind == "bug":
            raise RuntimeError("this is a bug")
        raise UserError("train.stepz is not a known key")
    if kind == "late":
        time.sleep(60)
    return 7

result, comm = joining.join(work, world)
print("came to the end", flush=True)
"""


@pytest.mark.parametrize("who", [0, pytest.param(2, marks=slow)])
def test_a_rank_that_fails_before_mpi_has_started_ends_the_job_and_is_named(start, who):
    job = start(ONE_FAILS, "user", who, ranks=3)
    assert job.end(20) == 2, job.output
    assert job.output.count("Error: ") == 1
    assert f"Error: rank {who} on {os.uname().nodename}: train.stepz is not a known key" in job.output
    assert "came to the end" not in job.output


def test_what_all_ranks_meet_is_told_once(start):
    job = start(ONE_FAILS, "user", -1, ranks=3)
    assert job.end(20) == 2, job.output
    assert job.output.count("train.stepz is not a known key") == 1
    assert " on " not in job.output


def test_a_bug_before_mpi_has_started_shows_its_traceback(start):
    job = start(ONE_FAILS, "bug", 1, ranks=2)
    assert job.end(20) == 1, job.output
    assert f"rank 1 on {os.uname().nodename} failed:\nTraceback" in job.output
    assert job.output.count("RuntimeError: this is a bug") == 1


def test_a_rank_that_fails_waits_for_no_long_work_of_others(start):
    """Preparing data can take an hour; who knows already that the job cannot be says so and ends it."""
    job = start(ONE_FAILS, "late", 1, ranks=2)
    assert job.end(20) != 0
    assert f"Error: rank 1 on {os.uname().nodename}: train.stepz is not a known key" in job.output
