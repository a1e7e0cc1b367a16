"""Finding runs and checkpoints on disk."""

import os
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

import pytest

from scratchgrad import UserError
from scratchgrad.tools.runs import (
    checkpoint_before,
    checkpoints,
    is_finished,
    made_line,
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


def test_the_newest_run_is_the_one_that_was_made_last(tmp_path):
    for number, when in ((2, "2026-05-01T10:00:00.5+00:00"), (1, "2026-05-01T10:00:00.25+00:00")):
        run = make_run(tmp_path / f"toy-00{number}", 100 * number)
        (run / "recipe.yaml").write_text(f"# made {when}\ntrain: {{}}\n")
    (tmp_path / "data").mkdir()
    assert newest_run(tmp_path).name == "toy-002"
    (tmp_path / "toy-001" / "metrics.jsonl").write_text("")
    (tmp_path / "toy-001" / "checkpoints" / "step-5").mkdir(parents=True)
    assert newest_run(tmp_path).name == "toy-002", "a run that goes on is no newer than it was"


def test_a_folder_of_curation_is_no_run(tmp_path):
    make_run(tmp_path / "toy-001", 100)
    for number, own in enumerate(("stages", "work")):
        (make_run(tmp_path / f"curated-{number}", 200) / own).mkdir()
    assert newest_run(tmp_path).name == "toy-001"
    with pytest.raises(UserError, match="is neither a run nor a model directory"):
        model_directory(tmp_path / "curated-0")


def test_runs_of_older_versions_are_as_old_as_their_oldest_file(tmp_path):
    make_run(tmp_path / "toy-001", 100, steps=[1])
    make_run(tmp_path / "toy-002", 200)
    (tmp_path / "toy-001" / "metrics.jsonl").write_text("")
    assert newest_run(tmp_path).name == "toy-002"
    assert made_line(tmp_path / "toy-002") == "# made 1970-01-01T00:03:20+00:00\n"


def test_when_a_run_was_made_is_known_after_its_recipe_was_written_again(tmp_path):
    first = made_line(tmp_path)
    assert abs(datetime.fromisoformat(first.removeprefix("# made ").strip()).timestamp() - time.time()) < 60
    (tmp_path / "recipe.yaml").write_text(first + "train: {steps: 5}\n")
    assert made_line(tmp_path) == first


@pytest.mark.parametrize(("trainer", "told"), [
    ('{"finished": true}', True), ('{"finished": false}', False), ("{}", None), ("[]", None), ("{", None), (None, None),
])  # fmt: skip
def test_whether_a_run_is_finished_is_told_by_its_checkpoint(tmp_path, trainer, told):
    if trainer is not None:
        (tmp_path / "trainer.json").write_text(trainer)
    assert is_finished(tmp_path) is told


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
