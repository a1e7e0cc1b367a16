"""What a recipe will cost, from one measured step."""

from __future__ import annotations

import math
import sys
import time
from pathlib import Path

from scratchgrad.parallel import Communicator
from scratchgrad.train.batches import Batches
from scratchgrad.train.loop import train_step
from scratchgrad.train.microbatches import Microbatches
from scratchgrad.train.objectives import Objective
from scratchgrad.train.run import Run


def dry_run(run: Run, objective: Objective, batches: Batches, text_tokens: int, comm: Communicator) -> str:
    """Take two steps of the run (the first one warms up): parameters, tokens, memory and time, a line each.

    text_tokens: of the whole training text.
    """
    settings, optimizer = run.recipe.train, run.optimizer
    microbatches = Microbatches.of(settings.batch_size, settings.microbatches, comm)
    for step in range(2):
        began = time.perf_counter()
        train_step(
            run.model, objective, optimizer, batches, step,
            seed=settings.seed, max_grad_norm=settings.max_grad_norm, microbatches=microbatches, comm=comm, flags=[],
        )  # fmt: skip
        seconds = time.perf_counter() - began
    parameters, steps, step_tokens = run.model_size, settings.steps, batches.num_tokens(microbatches.numbers_of_step(1))
    epochs = ", ".join(f"{times:.2f}" for times in batches.epochs(steps * settings.batch_size))
    state, trained = sum(array.nbytes for array in optimizer.state.values()), run.num_trained
    kept = 4 * parameters + state
    return "\n".join([
        f"parameters          {parameters:,}{_share(trained, parameters)}",
        f"training text       {text_tokens:,} tokens",
        f"tokens of the run   {steps * step_tokens:,}: {steps:,} steps of {step_tokens:,}; {epochs} epochs",
        f"memory of a rank    {peak_memory() / 1e6:,.0f} MB at most, {kept / 1e6:,.0f} MB of it weights and optimizer",
        f"optimizer state     {state / 1e6:,.3g} MB",
        f"time of a step      {seconds:.3f} s ({step_tokens / seconds:,.0f} tokens/s on {comm.size} rank(s))",
        f"time of the run     {_readable(seconds * steps)}, without evaluations and checkpoints",
    ])  # fmt: skip


def peak_memory() -> int:
    """The most memory that this process has held so far, in bytes.

    On Linux from VmHWM: getrusage's number there starts with the size of the process that started this one.
    """
    import resource

    status = Path("/proc/self/status")
    if status.exists():
        lines = status.read_text().splitlines()
        return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def _share(trained: int, parameters: int) -> str:
    """What is said of the parameters that are trained, where some are not."""
    return "" if trained == parameters else f", {trained:,} of them trained ({trained / parameters:.3g} of all)"


def _readable(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    minutes = math.ceil(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"
