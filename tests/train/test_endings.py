"""Signals, readers who leave, and ranks that fail before MPI has started: a job ends soon, with what it should keep."""

import os
import signal
import subprocess
import time

import pytest

from scratchgrad.tools.commands.ending import ECHO_SECONDS, EndedBySignal
from scratchgrad.tools.runs import checkpoints
from scratchgrad.train.signals import StopRequest
from tests.jobs import MPIRUN, SCRIPTS, descendants

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
    assert job.end() == 128 + number, job.output
    ((_, checkpoint),) = checkpoints(tmp_path / "run")
    assert job.output.count(f"{number.name}: finishing this step, then writing a checkpoint") == 1
    assert f"ended by {number.name}; the newest checkpoint is run/checkpoints/{checkpoint.name}\n" in job.output
    assert job.output.count("to go on: scratchgrad-train --resume run") == 1
    assert "Traceback" not in job.output


@pytest.mark.parametrize("ranks", [None, 2])
def test_a_second_ctrl_c_ends_at_once_and_leaves_a_whole_run(tmp_path, start, recipe, ranks):
    """While the end of the step is waited for, which a rank that sleeps does not reach."""
    job = start(SLOW, *ENDLESS, ranks=ranks)
    job.wait_for("step 20/")
    (tmp_path / "sleeps").touch()
    job.wait_for("asleep")
    pids = [job.process.pid] if ranks is None else job.ranks().values()
    for pid in pids:
        os.kill(pid, signal.SIGINT)
    job.wait_for("SIGINT: finishing this step, then writing a checkpoint; Ctrl-C again ends at once")
    time.sleep(ECHO_SECONDS + 0.5)
    for pid in pids:
        os.kill(pid, signal.SIGINT)
    assert job.end(20) == 130, job.output
    assert (
        "ended by a second SIGINT; there is no checkpoint yet\nto go on: scratchgrad-train --resume run" in job.output
    )
    assert "Traceback" not in job.output
    resumed = start("scratchgrad-train", "--resume", "run", "train.steps=22", ranks=ranks)
    assert resumed.end() == 0, resumed.output


SLOW = """
import os, sys, time
from scratchgrad.train import loop
step = loop.train_step
def slow(*arguments, **options):
    while os.path.exists("sleeps"):
        print("asleep", flush=True)
        time.sleep(0.2)
    return step(*arguments, **options)
loop.train_step = slow
sys.argv = ["scratchgrad-train", "tiny.yaml", *sys.argv[1:]]
import scratchgrad_start
scratchgrad_start.train()
"""


def test_the_first_ctrl_c_is_answered_before_the_step_ends(tmp_path, start, recipe):
    job = start(SLOW, *ENDLESS)
    job.wait_for("step 20/")
    (tmp_path / "sleeps").touch()
    job.wait_for("asleep")
    os.kill(job.process.pid, signal.SIGINT)
    job.wait_for("SIGINT: finishing this step, then writing a checkpoint; Ctrl-C again ends at once")
    assert not (tmp_path / "run" / "checkpoints").exists()
    (tmp_path / "sleeps").unlink()
    assert job.end() == 130, job.output
    assert len(checkpoints(tmp_path / "run")) == 1


@pytest.mark.parametrize(("number", "ranks"), [(signal.SIGINT, None), (signal.SIGTERM, 2)])
def test_a_signal_while_text_is_prepared_ends_the_job(tmp_path, start, recipe, number, ranks):
    """Its workers hear it as well."""
    job = start(LONG_TEXT, ranks=ranks)
    job.wait_for("tokenising")
    for pid in [*descendants(job.process.pid), job.process.pid]:
        os.kill(pid, number)
    assert job.end(20) == 128 + number, job.output
    if ranks is None:  # else rank 0 may still import, and is silent
        assert f"ended by {number.name} before the first step: the same command begins anew" in job.output
    assert "Traceback" not in job.output
    assert "worker process" not in job.output
    assert not [path for path in (tmp_path / "runs").iterdir() if path.name != "data"]
    assert not [path for path in (tmp_path / "runs" / "data").iterdir() if path.is_dir()]


LONG_TEXT = """
import sys, time
from scratchgrad.tools.data import token_store
encode = token_store.TokenStoreWriter.append
def slow(*arguments):
    time.sleep(1)
    return encode(*arguments)
token_store.TokenStoreWriter.append = slow
sys.argv = ["scratchgrad-train", "tiny.yaml"]
import scratchgrad_start
scratchgrad_start.train()
"""


def test_repeated_signals_are_one_and_a_second_ctrl_c_waits_for_the_save(monkeypatch):
    with StopRequest() as stop:
        for number in (signal.SIGTERM, signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.raise_signal(number)
        assert stop.reason is signal.SIGTERM
        later = time.monotonic() + ECHO_SECONDS + 1
        monkeypatch.setattr(time, "monotonic", lambda: later)
        signal.raise_signal(signal.SIGTERM)
        saved = []

        def save():
            with stop.held():
                signal.raise_signal(signal.SIGINT)
                saved.append("all of it")

        with pytest.raises(EndedBySignal):
            save()
        assert saved == ["all of it"]


def test_what_nohup_ignores_stays_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with StopRequest() as stop:
            signal.raise_signal(signal.SIGHUP)
            assert stop.reason is None
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("ranks", [None, pytest.param(2, marks=slow)])
def test_a_reader_who_leaves_ends_the_job_with_a_checkpoint(tmp_path, recipe, ranks):
    """`scratchgrad-train ... 2>&1 | head -1`: it ends as a program does that SIGPIPE ends, but at a step's end.

    MPICH's mpirun hears of it first, and kills its ranks: what was written before is whole.
    """
    words = [str(SCRIPTS / "scratchgrad-train"), recipe, *ENDLESS, "checkpoint.every_steps=30"]
    launcher = [] if ranks is None else [str(MPIRUN), "-n", str(ranks)]
    with subprocess.Popen(
        [*launcher, *words], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as process:
        assert process.stdout is not None
        while b"step 40/" not in process.stdout.readline():
            pass
        process.stdout.close()
        code = process.wait(90)
    assert code == 141 if ranks is None else code != 0
    step, _ = checkpoints(tmp_path / "run")[-1]
    assert step == 30 if ranks is not None else step > 40


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


HERE = os.uname().nodename
NOT_ALIKE = """
import os, sys
rank, kind, who = int(os.environ["PMI_RANK"]), sys.argv[1], int(sys.argv[2])
arguments = ["tiny.yaml", "train.steps=2"]
if who in (rank, -1):
    if kind == "option":
        arguments = ["--nonsense"]
    else:
        sys.modules[kind] = None  # as if it were not installed
sys.argv = ["scratchgrad-train", *arguments]
import scratchgrad_start
scratchgrad_start.train()
"""
LACKS_MPI = "a launcher announced 3 ranks, but mpi4py finds no MPI library"


@pytest.mark.parametrize(("kind", "words"), [
    ("mpi4py", f"Error: rank {{}} on {HERE}: {LACKS_MPI}"), ("option", "Error: No such option"),
    ("pydantic", "import of pydantic halted; None in sys.modules"),
])  # fmt: skip
@pytest.mark.parametrize("who", [2, pytest.param(0, marks=slow)])
def test_a_rank_that_cannot_start_ends_the_job_and_is_named(start, recipe, kind, words, who):
    """Launchers wait for ranks that leave with an exit code before MPI has started."""
    began = time.monotonic()
    job = start(NOT_ALIKE, kind, who, ranks=3)
    assert job.end(20) != 0
    assert time.monotonic() - began < 20
    assert job.output.count(words.format(who)) == 1, job.output
    assert f"rank {who} on {HERE}" in job.output
    assert "step " not in job.output


@pytest.mark.parametrize(("kind", "words"), [("mpi4py", f"Error: {LACKS_MPI}"), ("option", "Error: No such option")])
def test_ranks_that_cannot_start_for_one_reason_tell_it_once(start, recipe, kind, words):
    job = start(NOT_ALIKE, kind, -1, ranks=3)
    assert job.end(20) == 2, job.output
    assert job.output.count(words) == 1, job.output
    assert " left with " not in job.output


# As a shell does it: the launcher sees this process, and its exit code.
WRAPPER = """
import subprocess, sys
ran = subprocess.run([sys.executable, "-c", *sys.argv[1:]], close_fds=False)  # MPI speaks with the launcher by one
sys.exit(abs(ran.returncode))
"""


@pytest.mark.parametrize(("program", "kind", "words"), [
    (NOT_ALIKE, "option", "left with exit code 2 before MPI had started: the job ends"),
    (ONE_FAILS, "late", "train.stepz is not a known key"),
])  # fmt: skip
def test_a_rank_in_a_wrapper_that_cannot_start_ends_the_job(start, recipe, program, kind, words):
    job = start(WRAPPER, program, kind, 1, ranks=2)
    assert job.end(20) != 0
    assert job.output.count(words) == 1, job.output


def test_ranks_in_wrappers_that_cannot_start_tell_it_once(start, recipe):
    job = start(WRAPPER, NOT_ALIKE, "option", -1, ranks=2)
    assert job.end(20) == 2, job.output
    assert job.output.count("No such option") == 1
