"""The same recipe and seed give the same bits: on any number of ranks and threads, recomputed or not, resumed or not."""

import os
import random
import signal
import time

import pytest

from scratchgrad.tools.runs import checkpoints
from tests.jobs import rows_without_time

pytestmark = pytest.mark.mpi


slow = pytest.mark.slow


@pytest.fixture(scope="module")
def whole(whole_run):
    """What metrics.jsonl says of 60 steps that nothing disturbed."""
    rows = rows_without_time(whole_run)
    assert [row["step"] for row in rows] == list(range(1, 61))
    assert rows[-1]["loss"] < 0.9 * rows[0]["loss"]
    assert [row["step"] for row in rows if "val_bpb" in row] == [20, 40, 60]
    return rows


def run_all(start, folder, ways):
    """The metrics of every way to run the same recipe: its ranks, and what it changes."""
    jobs = {
        f"run-{number}": start("scratchgrad-train", *overrides, f"log.run_dir=run-{number}", ranks=ranks)
        for number, (ranks, *overrides) in enumerate(ways)
    }
    for job in jobs.values():
        assert job.end() == 0, job.output
    return [rows_without_time(folder / run) for run in jobs]


def test_ranks_threads_and_recomputation_change_no_bit(tmp_path, start, recipe):
    short = (recipe, "train.steps=20", "train.eval_every=10")
    one, *others = run_all(start, tmp_path, [
        (None, *short, "train.threads=1"),
        (3, *short, "train.threads=1"),
        (4, *short, "train.threads=1"),
        (2, *short, "train.threads=2", "train.recompute=every", "train.recompute_every=2"),
        (None, *short, "train.threads=2", "train.recompute=full"),
    ])  # fmt: skip
    assert [row["step"] for row in one if "val_bpb" in row] == [10, 20]
    for other in others:
        assert other == one


@slow
@pytest.mark.parametrize(("ranks", "overrides"), [
    (1, ["train.threads=1"]),
    (2, ["train.threads=1"]),
    (4, ["train.threads=1"]),
    (4, ["train.threads=2", "train.recompute=full"]),
    (2, ["train.threads=2", "train.recompute=every", "train.recompute_every=2"]),
    (None, ["train.threads=2"]),
    (None, ["train.threads=2", "train.recompute=full"]),
    (2, ["train.threads=1", "train.recompute=attention"]),
])  # fmt: skip
def test_they_change_no_bit_of_a_longer_run(tmp_path, start, recipe, whole, ranks, overrides):
    assert run_all(start, tmp_path, [(ranks, recipe, *overrides)]) == [whole]


@slow
def test_unequal_shares_of_microbatches_change_no_bit(tmp_path, start, recipe):
    """Eight microbatches on three ranks are 3, 3 and 2, on five 2, 2, 2, 1 and 1."""
    short = (recipe, "train.steps=20", "train.microbatches=8", "train.threads=1")
    one, *others = run_all(start, tmp_path, [(ranks, *short) for ranks in (None, 3, 4, 5)])
    assert "val_bpb" in one[-1]
    for other in others:
        assert other == one


def test_more_microbatches_are_another_tree_and_another_seed_is_another_run(tmp_path, start, recipe):
    """The counter-test: what does change the mathematics is seen."""
    one, *others = run_all(start, tmp_path, [
        (None, recipe, "train.steps=5", override)
        for override in ("train.microbatches=4", "train.microbatches=8", "train.seed=1")
    ])  # fmt: skip
    assert one not in others


@pytest.mark.parametrize("kills", [3, pytest.param(12, marks=slow)])
def test_a_run_that_was_killed_again_and_again_ends_with_the_bits_of_one_that_was_not(
    tmp_path, start, recipe, whole, kills
):
    """SIGKILL to all processes at once: after some steps, or, each third time, as soon as a checkpoint is being written.

    The number of ranks changes from start to start.
    """
    rng = random.Random(7)
    run = tmp_path / "run"
    arguments = (recipe, "log.run_dir=run", "checkpoint.every_steps=5")
    inside_a_checkpoint = 0
    for kill in range(kills):
        stands_at = max((step for step, _ in checkpoints(run)), default=0)
        wanted = stands_at + rng.randint(1, 8)
        job = start("scratchgrad-train", *arguments, ranks=rng.choice([1, 2, 3, 4]))
        job.wait_for("parameters, ")
        while True:
            assert job.process.poll() is None, job.output
            if kill % 3 == 0 and list((run / "checkpoints").glob(".tmp-step-*")):
                inside_a_checkpoint += 1
                break
            if kill % 3 != 0 and len(rows_without_time(run)) >= wanted:
                break
            time.sleep(0.0005)
        job.kill()
        arguments = ("--resume", "run")
    assert inside_a_checkpoint == kills // 3
    assert 0 < max(step for step, _ in checkpoints(run)) < 60
    job = start("scratchgrad-train", *arguments, ranks=2)
    assert job.end() == 0, job.output
    assert rows_without_time(run) == whole
    assert not list((run / "checkpoints").glob(".tmp-*"))


def test_sigterm_saves_and_the_run_goes_on_from_there(tmp_path, start, recipe, whole):
    job = start("scratchgrad-train", recipe, "log.run_dir=run", "checkpoint.every_steps=1000", ranks=4)
    job.wait_for("step 20/")
    for pid in job.ranks().values():
        os.kill(pid, signal.SIGTERM)
    assert job.end() == 143, job.output
    assert "to go on: scratchgrad-train --resume run" in job.output
    (checkpoint,) = (tmp_path / "run" / "checkpoints").iterdir()
    stopped_at = int(checkpoint.name.removeprefix("step-"))
    assert 20 <= stopped_at < 60
    assert rows_without_time(tmp_path / "run") == whole[:stopped_at]
    job = start("scratchgrad-train", "--resume", "run", ranks=2)
    assert job.end() == 0, job.output
    assert f"run, not finished: going on from step {stopped_at} of 60" in job.output
    assert rows_without_time(tmp_path / "run") == whole


def test_a_run_that_is_finished_says_so(tmp_path, start, recipe, call):
    short = ("train.steps=2", "checkpoint.every_steps=1", "checkpoint.keep_last=2", "log.run_dir=runs/one")
    job = start("scratchgrad-train", recipe, *short)
    assert job.end() == 0, job.output
    job = start("scratchgrad-train", "--resume")
    assert job.end() == 0, job.output
    assert "runs/one, which finished: going on from step 2 of 2" in job.output
    few = ("--max-tokens", 1)
    assert b"step-2\n" in call("scratchgrad-sample", *few).stderr
    (tmp_path / "runs" / "one" / "checkpoints" / "step-2").rename(tmp_path / "elsewhere")
    assert b"step-1 (of a run that is not finished)\n" in call("scratchgrad-sample", *few).stderr
