"""A training run: its folder, its model and optimizer, and its progress."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from scratchgrad.errors import UserError
from scratchgrad.files import DamagedFiles, atomic_file, machine_fault, remove
from scratchgrad.files.atomic import STALE
from scratchgrad.files.faults import DISK
from scratchgrad.models import Model
from scratchgrad.optim import Optimizer
from scratchgrad.parallel import Communicator
from scratchgrad.tools.runs import checkpoint_before, checkpoints, is_run, made_line, next_run_dir
from scratchgrad.tools.tokenizer import Tokenizer
from scratchgrad.train import metrics
from scratchgrad.train.checkpoint import TrainerState, load_checkpoint, remove_checkpoint
from scratchgrad.train.recipe import Recipe
from scratchgrad.train.recipe_files import to_yaml
from scratchgrad.train.recipe_sum import with_sum
from scratchgrad.train.setup import build_model, build_optimizer


@dataclass
class Run:
    folder: Path
    recipe: Recipe
    tokenizer: Tokenizer
    model: Model = field(init=False)
    optimizer: Optimizer = field(init=False)
    progress: TrainerState = field(init=False, default_factory=TrainerState)

    def __post_init__(self) -> None:
        self.model = build_model(self.recipe, self.tokenizer)
        self.optimizer = build_optimizer(self.recipe.train, self.model)

    @property
    def model_size(self) -> int:
        return sum(parameter.size for parameter in self.model.parameters())

    @property
    def num_trained(self) -> int:
        """How many numbers of the model are trained: the others are frozen."""
        return sum(parameter.size for parameter in self.optimizer.parameters.values())

    def restore(self, checkpoint: Path) -> None:
        """Load a checkpoint; UserError where it is damaged, which names the one before it."""
        try:
            self.progress = load_checkpoint(checkpoint, self.model, self.optimizer)
        except DamagedFiles as damage:
            before = checkpoint_before(checkpoint)
            offer = (
                f"to go on from the one before it: scratchgrad-train --resume {self.folder} --checkpoint {before.name}"
                if before is not None
                else "there is none before it: start a new run"
            )
            raise UserError(f"{damage}; {offer}") from None


def raise_on_all_ranks(fault: str, comm: Communicator) -> None:
    """UserError on every rank where rank 0 has a fault to report; every rank calls it."""
    fault = comm.broadcast(fault)
    if fault:
        raise UserError(fault)


def create_run_dir(recipe: Recipe, name: str, comm: Communicator) -> Path:
    """The folder of a new run, with nothing in it yet: made by rank 0, broadcast to the others.

    Without `log.run_dir` it is the next free `runs/<name>-NNN`.
    """
    answer: dict[str, str] = {}
    if comm.rank == 0:
        try:
            if recipe.log.run_dir is None:
                folder = next_run_dir(Path("runs"), name)
            else:
                folder = Path(recipe.log.run_dir)
                folder.mkdir(parents=True, exist_ok=True)
            answer["folder"] = str(folder)
        except OSError as error:
            answer["fault"] = str(error)
    answer = comm.broadcast(answer)
    if "fault" in answer:
        raise UserError(answer["fault"])
    return Path(answer["folder"])


def begin_run(folder: Path, recipe: Recipe, comm: Communicator) -> None:
    """Write the recipe of a new run, its first file; UserError on every rank where there is a run already.

    Only while it is locked: of two jobs that are given one folder at once, one writes.
    """
    fault = ""
    if comm.rank == 0:
        if is_run(folder):
            fault = (
                f"'{folder}' holds a run already: go on with it by scratchgrad-train --resume {folder}, "
                "or choose another log.run_dir"
            )
        else:
            write_recipe(folder, recipe)
    raise_on_all_ranks(fault, comm)


@contextmanager
def lock_run(folder: Path, comm: Communicator) -> Iterator[None]:
    """Inside, no other job trains in this folder: UserError on every rank while one does.

    The kernel releases the lock of a process that dies, however it dies.
    """
    file, fault = None, ""
    if comm.rank == 0:
        try:
            file = (folder / ".lock").open("w")
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            fault = f"'{folder}' is being trained by another job; wait for its end, or choose another log.run_dir"
        except OSError as error:
            fault = f"'{folder}' cannot be written: {error.strerror}"
    try:
        raise_on_all_ranks(fault, comm)
        yield
    finally:
        if file is not None:
            file.close()


@contextmanager
def report_disk_errors(folder: Path) -> Iterator[None]:
    """A full disk, a lost permission or a folder that is gone becomes a UserError, not a traceback.

    What was written before is whole.
    """
    try:
        yield
    except OSError as error:
        if error.errno in DISK and not folder.exists():
            raise UserError(
                f"the run's folder '{folder}' is gone: it was removed or renamed while the run went on, and nothing of "
                "it can be saved any more; begin anew, or go on with a copy: scratchgrad-train --resume COPY"
            ) from None
        if error.errno not in DISK:
            raise machine_fault(error) or error from None
        raise UserError(
            f"'{error.filename or folder}' could not be written: {error.strerror}; the checkpoints so far are whole. "
            f"Make room, then: scratchgrad-train --resume {folder}"
        ) from None


def write_recipe(folder: Path, recipe: Recipe) -> None:
    """With when the run was made in its first line, whatever it was written over by since."""
    text = made_line(folder) + with_sum(to_yaml(recipe))
    with atomic_file(folder / "recipe.yaml") as file:
        file.write(text.encode())


def truncate_run(folder: Path, progress: TrainerState) -> list[str]:
    """Remove the metrics and checkpoints of later steps than that of `progress`: they will be made again.

    Returns what is to be told of damage in metrics.jsonl.
    """
    warnings = metrics.truncate(folder / "metrics.jsonl", progress.step, progress.metrics)
    for unfinished in (folder / "checkpoints").glob(f"{STALE}*"):
        remove(unfinished)
    for later, checkpoint in checkpoints(folder):
        if later > progress.step:
            remove_checkpoint(checkpoint)
    return warnings
