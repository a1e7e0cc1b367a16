"""When a checkpoint is due, and how it is written while all ranks wait."""

from __future__ import annotations

import time
from itertools import chain

from scratchgrad.errors import UserError
from scratchgrad.parallel import Communicator
from scratchgrad.train.adapter import base_model
from scratchgrad.train.checkpoint import prune_checkpoints, save_checkpoint
from scratchgrad.train.data import begin_of
from scratchgrad.train.finite import NotFiniteError, first_not_finite
from scratchgrad.train.recipe_files import to_yaml
from scratchgrad.train.run import Run, report_disk_errors


class CheckpointSaver:
    """Rank 0 writes, the others wait; if it fails, it fails on all of them, with the reason.

    Weights that are not finite are not written: they would be the newest checkpoint, and lose a good one its place.
    """

    def __init__(self, run: Run, comm: Communicator) -> None:
        self._run, self._comm = run, comm
        self._saved_at = time.monotonic()

    def is_due(self, step: int) -> bool:
        """Should there be a checkpoint after this step? Clocks differ between ranks: only rank 0's word counts."""
        settings = self._run.recipe.checkpoint
        by_step = settings.every_steps is not None and step % settings.every_steps == 0
        minutes = (time.monotonic() - self._saved_at) / 60
        by_time = settings.every_minutes is not None and self._comm.rank == 0 and minutes >= settings.every_minutes
        return by_step or by_time

    def save(self) -> None:
        fault, is_finite = "", True
        if self._comm.rank == 0 and (name := self._first_not_finite()) is not None:
            is_finite = False
            fault = f"step {self._run.progress.step}: '{name}' has weights that are not finite, so nothing was saved"
        elif self._comm.rank == 0:
            run, settings = self._run, self._run.recipe.checkpoint
            try:
                with report_disk_errors(run.folder):
                    recipe = to_yaml(run.recipe)
                    begin = begin_of(run.recipe, run.tokenizer)
                    save_checkpoint(
                        run.folder, run.model, run.optimizer, run.tokenizer, run.progress, recipe, begin=begin,
                        base_model=base_model(run.recipe.train.init_from),
                    )  # fmt: skip
                    prune_checkpoints(run.folder, settings.keep_last, settings.keep_best)
            except UserError as error:
                fault = str(error)
        fault, is_finite = self._comm.broadcast((fault, is_finite))
        if fault:
            raise UserError(fault) if is_finite else NotFiniteError(fault)
        self._saved_at = time.monotonic()

    def _first_not_finite(self) -> str | None:
        state = ((f"optimizer.{name}", array) for name, array in self._run.optimizer.state_dict().items())
        return first_not_finite(chain(self._run.model.state_dict().items(), state))
