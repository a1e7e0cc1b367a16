"""Checkpoints of other versions are refused; what a run does with its own is proved by the runs themselves."""

import json

import pytest

from scratchgrad import UserError
from scratchgrad.files import write_manifest
from scratchgrad.train.checkpoint import TrainerState, load_checkpoint, save_checkpoint
from scratchgrad.train.recipe_files import load_recipe
from scratchgrad.train.setup import build_optimizer
from tests.train.objectives.small import small


def test_a_checkpoint_gives_back_what_was_saved_and_one_of_another_version_is_refused(tmp_path):
    objective, model = small("causal_lm")
    optimizer = build_optimizer(load_recipe("toy").train, model)
    progress = TrainerState(step=3, tokens=500, val_loss=2.5, early_stopping={"best": 2.5})
    folder = save_checkpoint(tmp_path, model, optimizer, objective.layout.tokenizer, progress)
    assert load_checkpoint(folder, model, optimizer) == progress
    state = json.loads((folder / "trainer.json").read_text())
    (folder / "trainer.json").write_text(json.dumps({**state, "fit": state.pop("early_stopping")}))
    (folder / "manifest.json").unlink()
    write_manifest(folder, step=3)
    with pytest.raises(UserError, match="was written by another version of scratchgrad: start a new run"):
        load_checkpoint(folder, model, optimizer)
