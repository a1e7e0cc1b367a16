"""The loop: load, forward, backward, reduce, clip, step, log, save."""

from __future__ import annotations

import time
from typing import Any

from scratchgrad.parallel import Communicator
from scratchgrad.train.data import Batches, Validation
from scratchgrad.train.evaluation import evaluate
from scratchgrad.train.fit import EarlyStopping
from scratchgrad.train.gradients import Microbatches, descend, sum_gradients
from scratchgrad.train.metrics import MetricsWriter
from scratchgrad.train.plot import plot_loss
from scratchgrad.train.progress import ProgressDisplay
from scratchgrad.train.run import Run
from scratchgrad.train.saving import Saver
from scratchgrad.train.signals import StopRequest
from scratchgrad.train.watchdog import Watchdog


def train(run: Run, batches: Batches, validation: Validation, comm: Communicator, watchdog: Watchdog) -> bool:
    """Train from where the run stands to its recipe's end; True if that was reached, False if a signal came first."""
    settings, progress = run.recipe.train, run.progress
    model, optimizer = run.model, run.optimizer
    microbatches = Microbatches.of(settings.batch_size, settings.microbatches, comm)
    fit = EarlyStopping(settings.patience, progress.fit)
    saver = Saver(run, comm)
    is_first = comm.rank == 0
    with (
        StopRequest() as stop,
        MetricsWriter(run.folder / "metrics.jsonl" if is_first else None) as metrics,
        ProgressDisplay(progress.step, settings.steps, speaks=is_first) as display,
    ):
        ends = fit.stops or progress.step >= settings.steps
        while not ends:
            began = time.perf_counter()
            step = progress.step
            watchdog.phase("step", step + 1)
            flags = [stop.requested, saver.is_due(step + 1)]
            batch = sum_gradients(model, batches, step, settings.seed, microbatches, comm, flags)
            learning_rate = optimizer.lr(step)
            norm = descend(optimizer, batch.tokens, settings.max_grad_norm)

            progress.step += 1
            progress.tokens += batch.tokens
            row: dict[str, Any] = {
                "step": progress.step,
                "tokens": progress.tokens,
                "loss": batch.loss / batch.tokens,
                "learning_rate": learning_rate,
                "grad_norm": norm,
                "tokens_per_s": batch.tokens / (time.perf_counter() - began),
                **batch.metrics,
            }
            ends = progress.step == settings.steps
            is_evaluated = ends or progress.step % settings.eval_every == 0
            if is_evaluated:
                watchdog.phase("evaluation", progress.step)
                evaluation = evaluate(model, validation, microbatches, comm)
                row |= evaluation
                for warning in fit.see(row["loss"], evaluation["val_loss"]):
                    display.say(warning)
                ends = ends or fit.stops
                progress.val_loss, progress.fit = evaluation["val_loss"], fit.state_dict()
            if is_evaluated or progress.step % run.recipe.log.every_steps == 0:
                metrics.write(row)
            display.step(row)
            if is_evaluated and is_first:
                plot_loss(run.folder)

            stops, saves = batch.flags
            if ends or saves or stops:
                watchdog.phase("checkpoint", progress.step)
                saver.save()
            if stops and not ends:
                display.say(f"step {progress.step}: a signal asked for the end; --resume goes on from here")
                return False
    return True
