"""What is not finite is not kept: no such weight in a checkpoint, no such number in metrics.jsonl, and no traceback."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from scratchgrad.files import DamagedFiles
from scratchgrad.parallel import Communicator
from scratchgrad.tools.runs import checkpoints
from scratchgrad.train.checkpoint import TrainerState, load_checkpoint, save_checkpoint
from scratchgrad.train.evaluation import evaluate
from scratchgrad.train.finite import NotFiniteError, check_finite
from scratchgrad.train.recipe_files import load_recipe
from scratchgrad.train.saving import CheckpointSaver
from scratchgrad.train.setup import build_optimizer
from tests.train.objectives.small import small
from tests.train.test_bad_days import refused


@pytest.fixture
def run(tmp_path):
    """A run that has saved step 3, and stands at step 4."""
    objective, model = small("causal_lm")
    recipe = load_recipe("toy")
    run = SimpleNamespace(
        folder=tmp_path, recipe=recipe, tokenizer=objective.layout.tokenizer, model=model,
        optimizer=build_optimizer(recipe.train, model), progress=TrainerState(step=3, tokens=500),
    )  # fmt: skip
    CheckpointSaver(run, Communicator()).save()
    run.progress.step = 4
    return run


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("where", ["weights", "optimizer"])
def test_a_checkpoint_of_such_weights_is_not_written_and_the_last_good_one_is_named(run, value, where):
    arrays = run.model.state_dict() if where == "weights" else run.optimizer.state_dict()
    arrays[list(arrays)[-1]].reshape(-1)[-1] = value
    with pytest.raises(NotFiniteError, match=r"step 4: '.+' has weights that are not finite") as told:
        CheckpointSaver(run, Communicator()).save()
    assert [step for step, _ in checkpoints(run.folder)] == [3]
    assert "the last good checkpoint is '" in str(told.value.of_run(run.folder))
    assert str(told.value.of_run(run.folder)).endswith("checkpoints/step-3'")
    assert "there is no checkpoint yet" in str(told.value.of_run(run.folder / "nowhere"))


def test_a_checkpoint_with_such_weights_counts_as_damaged(run):
    run.model.state_dict()["lm_head.weight" if "lm_head.weight" in run.model.state_dict() else
                           next(iter(run.model.state_dict()))][0] = np.nan  # fmt: skip
    folder = save_checkpoint(run.folder, run.model, run.optimizer, run.tokenizer, run.progress)
    with pytest.raises(DamagedFiles, match="has weights that are not finite"):
        load_checkpoint(folder, run.model, run.optimizer)


@pytest.mark.parametrize("value", [float("nan"), float("-inf"), [1.0, [float("inf")]]])
def test_a_metric_that_is_not_finite_is_told(value):
    check_finite({"step": 3, "loss": 2.0, "expert_load": [[1, 2]], "name": "x"}, 3)
    with pytest.raises(NotFiniteError, match=r"step 3: val_loss is (nan|-inf|not finite)"):
        check_finite({"step": 3, "val_loss": value}, 3)


@pytest.mark.mpi
@pytest.mark.parametrize("ranks", [None, pytest.param(2, marks=pytest.mark.slow)])
@pytest.mark.parametrize("override", ["train.eval_every=1", "checkpoint.every_steps=1"])
def test_a_run_whose_weights_overflow_ends_in_one_sentence(tmp_path: Path, start, recipe, override, ranks):
    """Evaluated or saved, whichever comes first after the step that spoilt them."""
    job = start("scratchgrad-train", recipe, "log.run_dir=run", "train.weight_decay=1e44", override, ranks=ranks)
    said = refused(job)
    assert "val_loss is nan" in said if "eval" in override else "has weights that are not finite" in said
    assert "there is no checkpoint yet" in said
    assert not checkpoints(tmp_path / "run")


@pytest.mark.mpi
def test_a_run_that_goes_on_to_such_weights_ends_in_the_same_sentence_each_time(tmp_path: Path, start, recipe):
    job = start("scratchgrad-train", recipe, "log.run_dir=run", "train.steps=4", "checkpoint.every_steps=1")
    assert job.end() == 0, job.output
    path = tmp_path / "run" / "recipe.yaml"
    lines = [line for line in path.read_text().splitlines() if "sha256" not in line]  # changed by hand
    path.write_text("\n".join(lines).replace("weight_decay: 0.1", "weight_decay: 1.0e+44"))
    for _ in range(2):
        said = refused(start("scratchgrad-train", "--resume", "run", "train.steps=20", "train.eval_every=5"))
        assert "step 5: " in said
        assert "the last good checkpoint is 'run/checkpoints/step-4'" in said
        assert checkpoints(tmp_path / "run")[-1][0] == 4


def test_an_evaluation_that_fails_leaves_the_model_in_training():
    objective, model = small("causal_lm")
    model.train()
    with pytest.raises(AttributeError):
        evaluate(model, objective, None, None, Communicator())
    assert model.training
