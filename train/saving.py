"""When a checkpoint is due, and how it is written while all ranks wait."""

from __future__ import annotations

import time

from scratchgrad.errors import UserError
from scratchgrad.parallel import Communicator
from scratchgrad.train.checkpoint import prune_checkpoints, save_checkpoint
from scratchgrad.train.run import Run, report_disk_errors


class CheckpointSaver:
    """Rank 0 writes, the others wait; if it fails, it fails on all of them, with the reason."""

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
        fault = ""
        if self._comm.rank == 0:
            run, settings = self._run, self._run.recipe.checkpoint
            try:
                with report_disk_errors(run.folder):
                    save_checkpoint(run.folder, run.model, run.optimizer, run.tokenizer, run.progress)
                    prune_checkpoints(run.folder, settings.keep_last, settings.keep_best)
            except UserError as error:
                fault = str(error)
        fault = self._comm.broadcast(fault)
        if fault:
            raise UserError(fault)
        self._saved_at = time.monotonic()
