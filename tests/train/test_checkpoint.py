"""Checkpoints of other versions are refused; what a run does with its own is proved by the runs themselves."""

import json
import os
import shutil

import pytest

from scratchgrad import UserError
from scratchgrad.files import write_manifest
from scratchgrad.tools.runs import checkpoints
from scratchgrad.train.checkpoint import TrainerState, load_checkpoint, prune_checkpoints, save_checkpoint
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


@pytest.mark.parametrize("content", [
    b"", b"[1]", b'{"val_loss": "x"}', b'{"val_loss": [1]}', b"\xff", b'{"val_loss": NaN}', b"[" * 100_000,
])  # fmt: skip
def test_damage_in_an_older_checkpoint_does_not_stop_the_next_one(tmp_path, content):
    objective, model = small("causal_lm")
    optimizer = build_optimizer(load_recipe("toy").train, model)

    def save(step, val_loss):
        state = TrainerState(step=step, val_loss=val_loss)
        return save_checkpoint(tmp_path, model, optimizer, objective.layout.tokenizer, state)

    folders = [save(step, 1.0 + step) for step in (1, 2, 3)]
    (folders[0] / "trainer.json").write_bytes(content)
    prune_checkpoints(tmp_path, keep_last=1, keep_best=True)
    assert [step for step, _ in checkpoints(tmp_path)] == [2, 3]


@pytest.mark.parametrize("place", ["file", "link", "dangling", "folder"])
def test_what_stands_in_a_checkpoints_place_is_put_aside(tmp_path, place):
    objective, model = small("causal_lm")
    optimizer = build_optimizer(load_recipe("toy").train, model)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "a").write_text("x")
    target = tmp_path / "checkpoints" / "step-3"
    for _ in range(2):
        target.parent.mkdir(exist_ok=True)
        if target.is_dir():
            shutil.rmtree(target)
        if place == "file":
            target.write_text("x")
        elif place == "folder":
            target.mkdir()
        else:
            target.symlink_to(tmp_path / ("mine" if place == "link" else "nowhere"))
        folder = save_checkpoint(tmp_path, model, optimizer, objective.layout.tokenizer, TrainerState(step=3))
        assert load_checkpoint(folder, model, optimizer).step == 3
        assert os.path.lexists(target.with_name("step-3.replaced"))
    assert (tmp_path / "mine" / "a").read_text() == "x"
