"""A checkpoint: all that a run needs to go on as if nothing had happened.

`checkpoints/step-N/` is a model directory (anyone's tool opens it) with `optimizer.safetensors` and `trainer.json`
beside the model. It is written beside its place, synced and renamed, and its manifest holds the size and sha256 of
every file: it is whole or it is not there. Random numbers and the position in the text are functions of the step, so
the step is all that is saved of them.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from scratchgrad import models
from scratchgrad.errors import UserError
from scratchgrad.files import (
    DamagedFiles,
    atomic_directory,
    atomic_file,
    map_tensors,
    read_json,
    remove,
    verify_manifest,
    write_manifest,
    write_tensors,
)
from scratchgrad.models import Model
from scratchgrad.models.adapters import is_adapted, is_adapter, save_adapter
from scratchgrad.optim import Optimizer
from scratchgrad.tools.loading import read_model
from scratchgrad.tools.runs import checkpoints
from scratchgrad.tools.tokenizer import Tokenizer
from scratchgrad.tools.tokenizer import save as save_tokenizer
from scratchgrad.train.finite import first_not_finite

RECIPE = "training_recipe.yaml"  # not recipe.yaml, which marks the folder of a run


@dataclass
class TrainerState:
    """How far a run is. tokens: of training text, seen so far. early_stopping: its state.

    data: a hash of the tokens that it is trained on; metrics: of the rows of metrics.jsonl up to this step; None where
    an older version wrote it. finished: was this the last step, by the recipe as it was then?
    """

    step: int = 0
    tokens: int = 0
    val_loss: float | None = None  # of the last evaluation
    early_stopping: dict[str, Any] = field(default_factory=dict)
    data: str | None = None
    metrics: str | None = None
    finished: bool = False


def save_checkpoint(
    run: Path,
    model: Model,
    optimizer: Optimizer,
    tokenizer: Tokenizer,
    progress: TrainerState,
    recipe: str | None = None,
    begin: int | None = None,
    base_model: str | None = None,
) -> Path:
    """Write `checkpoints/step-N`. OSError (a full disk, say) leaves nothing of it behind.

    Of an adapted model the adapter is written, with the optimizer's state of it, and `base_model`, the path of the
    model that it stands beside. recipe: the text of the run's recipe.yaml, of which the checkpoint keeps a copy that
    its manifest covers. What stands in the checkpoint's place and is none of this run's, as a file or a link, is put
    aside. begin: the id that texts begin with, where it is not the one that ends them; then either ends what
    is generated.
    """
    end = tokenizer.end_of_text
    target = run / "checkpoints" / f"step-{progress.step}"
    target.parent.mkdir(exist_ok=True)
    _put_aside(target)
    with atomic_directory(target) as folder:
        told: dict[str, Any] = model.generation_config(end)
        if begin is not None:
            told = {**told, "bos_token_id": begin, "eos_token_id": [begin, end]}
        if is_adapted(model):
            models.save_config(model, folder, told)
            save_adapter(model, folder, base_model=base_model)
        else:
            models.save(model, folder, told)
        save_tokenizer(tokenizer, folder)
        write_tensors(folder / "optimizer.safetensors", optimizer.state_dict())
        with atomic_file(folder / "trainer.json") as file:
            file.write(json.dumps(asdict(progress)).encode())
        if recipe is not None:
            (folder / RECIPE).write_bytes(recipe.encode())
        write_manifest(folder, step=progress.step)
    return target


def load_checkpoint(folder: Path, model: Model, optimizer: Optimizer) -> TrainerState:
    """Put the checkpoint's values into the model and the optimizer.

    DamagedFiles where its manifest does not hold, or where it has weights that are not finite.
    """
    verify_manifest(folder)
    device = model.device
    saved = read_model(folder)[0] if is_adapter(folder) else models.load(folder)
    if (type(saved), saved.config) != (type(model), model.config):
        raise UserError(f"'{folder}' holds a model of another shape than the run's recipe describes")
    if (name := first_not_finite(saved.state_dict().items())) is not None:
        raise DamagedFiles(f"'{folder}' has weights that are not finite, in '{name}'")
    model.load_state_dict(saved.to(device).state_dict())
    optimizer.load_state_dict(map_tensors(folder / "optimizer.safetensors"))
    return read_trainer_state(folder)


def read_trainer_state(folder: Path) -> TrainerState:
    """What a checkpoint says of its run; UserError where another version wrote it, or it is damaged."""
    try:
        return TrainerState(**read_json(folder / "trainer.json"))
    except TypeError:
        raise UserError(f"'{folder}' was written by another version of scratchgrad: start a new run") from None


def prune_checkpoints(run: Path, keep_last: int, keep_best: bool) -> None:
    """Remove all checkpoints but the newest `keep_last` and, if asked, the one with the lowest validation loss."""
    present = checkpoints(run)
    kept = {step for step, _ in present[-keep_last:]}
    if keep_best and (best := best_checkpoint(run)) is not None:
        kept.add(best[0])
    for step, folder in present:
        if step not in kept:
            remove_checkpoint(folder)


def best_checkpoint(run: Path) -> tuple[int, Path] | None:
    """(step, folder) of the checkpoint with the lowest validation loss; None where none was evaluated."""
    scored = []
    for step, folder in checkpoints(run):
        try:
            val_loss = read_json(folder / "trainer.json").get("val_loss")
        except UserError:
            continue  # damaged: loading it would say so, and it cannot be the best
        if type(val_loss) in (int, float):
            scored.append((val_loss, step, folder))
    return min(scored)[1:] if scored else None


def remove_checkpoint(folder: Path) -> None:
    """Take it out of sight in one step, then file by file: what is seen under its name is whole until the end.

    Of a symbolic link the link goes, and what it leads to stays.
    """
    dying = folder.with_name(f".tmp-removed-{folder.name}")
    if os.path.lexists(dying):
        remove(dying)
    folder.rename(dying)
    remove(dying)


def _put_aside(target: Path) -> None:
    if os.path.lexists(target):
        aside = target.with_name(f"{target.name}.replaced")
        if os.path.lexists(aside):
            remove(aside)
        target.rename(aside)
