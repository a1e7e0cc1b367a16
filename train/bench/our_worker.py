"""Does a bench job with scratchgrad, by the trainer's own step. Run as a program: our_worker.py FOLDER.

Under mpirun, the ranks share the job's batch and its threads.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from scratchgrad import Tensor, fixed_weights, models, no_grad, optim, set_precision, set_threads
from scratchgrad import functional as F
from scratchgrad.parallel import connect
from scratchgrad.profiling import profile
from scratchgrad.train.batches import Batch
from scratchgrad.train.dry_run import peak_memory
from scratchgrad.train.loop import train_step
from scratchgrad.train.microbatches import Microbatches
from scratchgrad.train.objectives import objective_for, objectives
from scratchgrad.train.setup import set_recompute

PEAK_SIZE, PEAK_REPEATS = 2_048, 4


class JobRows:
    """The batches of a job, from its files: arrays (steps, batch, time)."""

    def __init__(self, folder: Path) -> None:
        arrays = {"input_ids": np.load(folder / "ids.npy"), "targets": np.load(folder / "targets.npy")}
        self._rows = {name: array.reshape(-1, array.shape[-1]) for name, array in arrays.items()}

    def rows(self, numbers: Sequence[int]) -> Batch:
        return {name: array[numbers] for name, array in self._rows.items()}


def main(folder: Path) -> None:
    settings = json.loads((folder / "settings.json").read_text())
    comm = connect()
    set_threads(max(1, settings["threads"] // comm.size))
    set_precision(settings["precision"])
    model = models.load(folder)
    set_recompute(model, settings["recompute"], settings["recompute_every"])
    batches = JobRows(folder)
    optimizer = optim.AdamW(
        model.named_parameters(), settings["learning_rate"], betas=(0.9, 0.95), eps=1e-8, weight_decay=0.1
    )
    microbatches = Microbatches.of(settings["batch"], comm.size, comm)

    kind = objectives()[objective_for(type(model))]
    objective = kind.__new__(kind)  # for its loss alone: there is no text to be laid out

    def take_step(step: int) -> float:
        totals, _ = train_step(
            model, objective, optimizer, batches, step,
            seed=0, max_grad_norm=settings["max_grad_norm"], microbatches=microbatches, comm=comm, flags=[],
        )  # fmt: skip
        loss: float = totals.loss / totals.num_targets
        return loss

    with profile() as first:
        losses = [take_step(0)]
    seconds = []
    for step in range(1, settings["warmup"] + settings["steps"]):
        began = time.perf_counter()
        losses.append(take_step(step))
        seconds.append(time.perf_counter() - began)
    measured = {
        "seconds": seconds[settings["warmup"] - 1 :], "losses": losses, "peak_bytes": peak_memory(),
        "flops": first.flops, "peak_flops_per_s": peak_flops_per_s(),
    }  # fmt: skip
    if settings["profiled"]:
        with profile() as profiled:
            for step in range(settings["profiled"]):
                take_step(step)
        parts = settings["profiled"]
        measured["profile"] = [
            asdict(
                replace(
                    row, calls=row.calls // parts, seconds=row.seconds / parts, bytes=row.bytes // parts,
                    flops=row.flops // parts,
                )
            )
            for row in profiled.rows.values()
        ]  # fmt: skip
    if comm.rank == 0:
        print(json.dumps(measured))


def peak_flops_per_s() -> float:
    """What the fastest of a few large square products reaches, in the precision of the job."""
    rng = np.random.default_rng(0)
    x, weight = (Tensor(rng.standard_normal((PEAK_SIZE, PEAK_SIZE), np.float32)) for _ in range(2))
    best = float("inf")
    with no_grad(), fixed_weights():
        for _ in range(PEAK_REPEATS):
            began = time.perf_counter()
            F.linear(x, weight)
            best = min(best, time.perf_counter() - began)
    return 2 * PEAK_SIZE**3 / best


if __name__ == "__main__":
    main(Path(sys.argv[1]))
