"""The same recipe and seed give the same bits: on any number of ranks and threads, recomputed or not, resumed or not."""

import os
import random
import signal
import time

import pytest

from scratchgrad.tools.runs import checkpoints
from tests.jobs import rows_without_time

pytestmark = pytest.mark.mpi


@pytest.fixture
def whole(tmp_path, start, recipe):
    """What metrics.jsonl says of 60 steps that nothing disturbed, without a launcher, on one thread."""
    job = start("scratchgrad-train", recipe, "log.run_dir=whole", "train.threads=1")
    assert job.end() == 0, job.output
    rows = rows_without_time(tmp_path / "whole")
    assert [row["step"] for row in rows] == list(range(1, 61))
    assert rows[-1]["loss"] < 0.9 * rows[0]["loss"]
    assert [row["step"] for row in rows if "val_bpb" in row] == [20, 40, 60]
    return rows


def test_ranks_threads_and_recomputation_change_no_bit(tmp_path, start, recipe, whole):
    ways = [
        (1, "train.threads=1"),
        (2, "train.threads=1"),
        (3, "train.threads=1"),
        (4, "train.threads=1"),
        (4, "train.threads=2", "train.recompute=full"),
        (2, "train.threads=2", "train.recompute=every", "train.recompute_every=2"),
        (None, "train.threads=2"),
        (None, "train.threads=2", "train.recompute=full"),
        (2, "train.threads=1", "train.recompute=attention"),
    ]
    for number, (ranks, *overrides) in enumerate(ways):
        job = start("scratchgrad-train", recipe, *overrides, f"log.run_dir=run-{number}", ranks=ranks)
        assert job.end() == 0, job.output
        assert rows_without_time(tmp_path / f"run-{number}") == whole, (ranks, overrides)


def test_unequal_shares_of_microbatches_change_no_bit(tmp_path, start, recipe):
    """Eight microbatches on three ranks are 3, 3 and 2, on five 2, 2, 2, 1 and 1."""
    rows = {}
    for ranks in (None, 3, 4, 5):
        overrides = ("train.steps=20", "train.microbatches=8", "train.threads=1", f"log.run_dir=on-{ranks}")
        job = start("scratchgrad-train", recipe, *overrides, ranks=ranks)
        assert job.end() == 0, job.output
        rows[ranks] = rows_without_time(tmp_path / f"on-{ranks}")
        assert rows[ranks] == rows[None], ranks
    assert "val_bpb" in rows[None][-1]


def test_more_shards_are_another_tree_and_another_seed_is_another_run(tmp_path, start, recipe, whole):
    """The counter-test: what does change the mathematics is seen."""
    for number, override in enumerate(["train.microbatches=8", "train.seed=1"]):
        job = start("scratchgrad-train", recipe, override, f"log.run_dir=other-{number}")
        assert job.end() == 0, job.output
        assert rows_without_time(tmp_path / f"other-{number}") != whole


def test_a_run_that_was_killed_again_and_again_ends_with_the_bits_of_one_that_was_not(tmp_path, start, recipe, whole):
    """Twelve times SIGKILL to all processes at once: after some steps, or as soon as a checkpoint is being written.

    The number of ranks changes from start to start.
    """
    rng = random.Random(7)
    run = tmp_path / "run"
    arguments = (recipe, "log.run_dir=run", "checkpoint.every_steps=5")
    inside_a_checkpoint = 0
    for kill in range(12):
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
    assert inside_a_checkpoint == 4
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
    assert job.end() == 0, job.output
    assert "a signal asked for the end; --resume goes on from here" in job.output
    (checkpoint,) = (tmp_path / "run" / "checkpoints").iterdir()
    stopped_at = int(checkpoint.name.removeprefix("step-"))
    assert 20 <= stopped_at < 60
    assert rows_without_time(tmp_path / "run") == whole[:stopped_at]
    job = start("scratchgrad-train", "--resume", "run", ranks=2)
    assert job.end() == 0, job.output
    assert f"going on from step {stopped_at}" in job.output
    assert rows_without_time(tmp_path / "run") == whole
