"""Finding runs and checkpoints on disk."""

import os
from concurrent.futures import ThreadPoolExecutor

import pytest

from scratchgrad import UserError
from scratchgrad.tools.runs import (
    checkpoint_before,
    checkpoints,
    model_directory,
    newest_checkpoint,
    newest_run,
    next_run_dir,
)


def make_run(folder, when, steps=()):
    for step in steps:
        (folder / "checkpoints" / f"step-{step}").mkdir(parents=True)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "recipe.yaml").write_text("")
    for path in (folder / "recipe.yaml", *(folder / "checkpoints" / f"step-{step}" for step in steps)):
        os.utime(path, (when, when))
    return folder


def test_the_next_run_gets_the_next_number_and_two_at_once_get_two(tmp_path):
    assert next_run_dir(tmp_path / "runs", "toy").name == "toy-001"
    (tmp_path / "runs" / "toy-009").mkdir()
    (tmp_path / "runs" / "toy-large-077").mkdir()
    assert next_run_dir(tmp_path / "runs", "toy").name == "toy-010"
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: next_run_dir(tmp_path / "runs", "toy").name, range(20)))
    assert len(set(made)) == 20


def test_the_newest_run_is_the_one_that_was_worked_on_last(tmp_path):
    make_run(tmp_path / "toy-001", 100, steps=[1])
    make_run(tmp_path / "toy-002", 200)
    (tmp_path / "data").mkdir()
    assert newest_run(tmp_path).name == "toy-002"
    (tmp_path / "toy-001" / "metrics.jsonl").write_text("")
    assert newest_run(tmp_path).name == "toy-001", "a run that was resumed is newer than one that was begun later"


def test_checkpoints_are_ordered_by_step_and_unfinished_ones_are_not_seen(tmp_path):
    run = make_run(tmp_path / "toy-001", 100, steps=[100, 20, 3])
    (run / "checkpoints" / ".tmp-step-200-1234").mkdir()
    assert [step for step, _ in checkpoints(run)] == [3, 20, 100]
    assert newest_checkpoint(run).name == "step-100"
    assert checkpoint_before(run / "checkpoints" / "step-100").name == "step-20"
    assert checkpoint_before(run / "checkpoints" / "step-3") is None
    assert model_directory(run).name == "step-100"


def test_folders_without_what_is_looked_for(tmp_path):
    with pytest.raises(UserError, match=r"there is no run in .* start one with scratchgrad-train toy\.yaml"):
        newest_run(tmp_path / "runs")
    with pytest.raises(UserError, match="no checkpoint yet"):
        newest_checkpoint(make_run(tmp_path / "toy-001", 1))
    with pytest.raises(UserError, match="neither a run nor a model directory"):
        model_directory(tmp_path)
