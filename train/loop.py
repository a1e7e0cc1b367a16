"""The loop: load, forward, backward, reduce, clip, step, log, save."""

from __future__ import annotations

import math
import time
from signal import Signals
from typing import Any, NamedTuple

import numpy as np

from scratchgrad import fixed_weights
from scratchgrad.models import Model
from scratchgrad.optim import Optimizer, global_norm
from scratchgrad.parallel import Communicator, TreeSum
from scratchgrad.profiling import mark
from scratchgrad.random import RngState, fork_rng
from scratchgrad.train.batches import Batches, RowSource, Validation
from scratchgrad.train.early_stopping import EarlyStopping
from scratchgrad.train.evaluation import evaluate
from scratchgrad.train.finite import NotFiniteError, check_finite
from scratchgrad.train.metrics import MetricsWriter
from scratchgrad.train.microbatches import BatchTotals, LossSums, Microbatches, all_reduce_gradients, take_gradients
from scratchgrad.train.objectives import Objective, on_device
from scratchgrad.train.plot import plot_fault
from scratchgrad.train.progress import ProgressDisplay
from scratchgrad.train.run import Run
from scratchgrad.train.saving import CheckpointSaver
from scratchgrad.train.signals import StopRequest, agreed
from scratchgrad.train.trainable import check_reached
from scratchgrad.train.watchdog import Watchdog

SMALLEST_NORM = 1e-30  # keeps a gradient of zeros from a division by zero


class StepResult(NamedTuple):
    totals: BatchTotals
    grad_norm: float  # of the mean gradient, before it was clipped


def train_step(
    model: Model,
    objective: Objective,
    optimizer: Optimizer,
    batches: RowSource,
    step: int,
    *,
    seed: int,
    max_grad_norm: float,
    microbatches: Microbatches,
    comm: Communicator,
    flags: list[bool],
) -> StepResult:
    """One step on the step's global batch. What it returns, and the new weights, are the same on every rank.

    `flags` travel along, so that all ranks know them at the same step. A loss or a norm that is not a finite number is
    a NotFiniteError on every rank, and nothing is updated.
    """
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    sums, gradients = LossSums(), TreeSum(microbatches.mine.start)
    with fixed_weights():
        for microbatch in microbatches.mine:
            batch = on_device(batches.rows(microbatches.numbers_of(step, microbatch)), model.device)
            with fork_rng(RngState(seed, step, microbatch)):
                output = objective.loss(model, batch)  # forward
                check_reached(output.loss)
                output.loss.backward()
            sums.add(output)
            gradients.add(take_gradients(parameters))

    totals = sums.all_reduce(comm, flags)
    if not np.isfinite(totals.losses).all():
        microbatch = int(np.flatnonzero(~np.isfinite(totals.losses))[0])
        raise NotFiniteError(
            f"step {step + 1}: the loss of microbatch {microbatch} is {totals.losses[microbatch]}; nothing was updated"
        )
    all_reduce_gradients(parameters, gradients, microbatches.tree, comm)  # from here on the same on every rank
    mark("sum over microbatches and ranks")

    num_targets = max(1, totals.num_targets)
    norm = global_norm(parameter.grad for parameter in parameters) / num_targets  # of the mean over all targets
    if not math.isfinite(norm):
        raise NotFiniteError(f"step {step + 1}: the norm of the gradient is {norm}; nothing was updated")
    clipping = min(1.0, max_grad_norm / max(norm, SMALLEST_NORM))
    optimizer.step(grad_scale=clipping / num_targets)  # of sums over targets: their clipped mean
    optimizer.zero_grad()
    mark("norm and optimizer")
    return StepResult(totals, norm)


def train(
    run: Run,
    objective: Objective,
    batches: Batches,
    validation: Validation,
    comm: Communicator,
    watchdog: Watchdog,
    stop: StopRequest,
) -> Signals | None:
    """Train from where the run stands to its recipe's end; what asked for an earlier end, where that came first.

    A NaN or an infinity in losses, gradients, metrics or weights is a UserError that names the last good checkpoint.
    """
    try:
        return _train(run, objective, batches, validation, comm, watchdog, stop)
    except NotFiniteError as fault:
        raise fault.of_run(run.folder) from None


def _train(
    run: Run,
    objective: Objective,
    batches: Batches,
    validation: Validation,
    comm: Communicator,
    watchdog: Watchdog,
    stop: StopRequest,
) -> Signals | None:
    settings, progress = run.recipe.train, run.progress
    model, optimizer = run.model, run.optimizer
    microbatches = Microbatches.of(settings.batch_size, settings.microbatches, comm)
    early_stopping = EarlyStopping(settings.patience, progress.early_stopping)
    saver = CheckpointSaver(run, comm)
    is_first = comm.rank == 0
    with (
        MetricsWriter(run.folder / "metrics.jsonl" if is_first else None) as metrics,
        ProgressDisplay(progress.step, settings.steps, speaks=is_first) as display,
    ):
        ends = early_stopping.stops or progress.step >= settings.steps
        while not ends:
            began = time.perf_counter()
            step = progress.step
            watchdog.phase("step", step + 1)
            totals, norm = train_step(
                model, objective, optimizer, batches, step,
                seed=settings.seed, max_grad_norm=settings.max_grad_norm, microbatches=microbatches, comm=comm,
                flags=[saver.is_due(step + 1) or metrics.fault is not None, *stop.flags()],
            )  # fmt: skip

            num_tokens = batches.num_tokens(microbatches.numbers_of_step(step))
            progress.step += 1
            progress.tokens += num_tokens
            row: dict[str, Any] = {
                "step": progress.step,
                "tokens": progress.tokens,
                "loss": totals.loss / max(1, totals.num_targets),
                "learning_rate": optimizer.lr(step),
                "grad_norm": norm,
                "tokens_per_s": num_tokens / (time.perf_counter() - began),
                **totals.metrics,
            }
            ends = progress.step == settings.steps
            is_evaluated = ends or progress.step % settings.eval_every == 0
            if is_evaluated:
                watchdog.phase("evaluation", progress.step)
                evaluation = evaluate(model, objective, validation, microbatches, comm)
                row |= evaluation
                check_finite(row, progress.step)
                for warning in early_stopping.update(row["loss"], evaluation["val_loss"]):
                    display.print(warning)
                ends = ends or early_stopping.stops
                progress.val_loss, progress.early_stopping = evaluation["val_loss"], early_stopping.state_dict()
            if is_evaluated or progress.step % run.recipe.log.every_steps == 0:
                check_finite(row, progress.step)
                metrics.write(row)
            display.step(row)
            if is_evaluated and is_first and (fault := plot_fault(run.folder)):
                display.print(fault)

            progress.finished = ends
            saves, *reasons = totals.flags
            reason = agreed(reasons)
            if ends or saves or reason is not None:
                watchdog.phase("checkpoint", progress.step, may_wait=True)  # for a disk
                progress.metrics = metrics.digest
                with stop.held():
                    saver.save()
                if metrics.fault is not None:  # what could be saved is
                    raise metrics.fault
            if reason is not None and not ends:
                return reason
    return None
