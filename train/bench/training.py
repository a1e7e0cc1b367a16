"""The time of a training step, ours and a peer's in turn, on the same weights and the same text."""

from __future__ import annotations

import math
import shutil
import statistics
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from scratchgrad.errors import UserError
from scratchgrad.tools.bench.shapes import Shape
from scratchgrad.tools.bench.workers import worker_command
from scratchgrad.train.bench.job import (
    MOST_DISTURBANCE,
    Measurement,
    Precision,
    Settings,
    measure_undisturbed,
    prepare_job,
)

HERE = Path(__file__).parent
OURS = worker_command(HERE / "our_worker.py")
TORCH = worker_command(HERE / "torch_worker.py")
# Every system by its worker's command line: ours first, then the peers. Two ranks share the threads.
WORKERS = {
    "scratchgrad": OURS,
    "torch": TORCH,
    "torch-compile": [*TORCH, "--compile"],
    "2-ranks": ["mpirun", "-n", "2", *OURS],
}
PEERS = [name for name in WORKERS if name != "scratchgrad"]
LOSS_TOLERANCE = 1e-3  # relative, after all steps: float32 sums in another order drift apart a little with each
LOSS_TOLERANCE_BF16 = 1e-2


@dataclass(frozen=True)
class Side:
    """What one system came to over all rounds."""

    name: str
    seconds: float  # the median of all steps
    spread: float  # (slowest - fastest round) / median
    tokens_per_s: float
    peak_bytes: int
    flops: int  # of the matrix products of a step; ours counts them, for all
    flops_per_s: float  # reached
    share_of_floor: float  # the time that the products would take at their best, of the time that the step took
    profile: list[dict[str, Any]] = field(default_factory=list)

    @classmethod
    def of(cls, name: str, rounds: list[Measurement], tokens: int, flops: int, best_flops_per_s: float) -> Side:
        medians = [measurement.median for measurement in rounds]
        seconds = statistics.median(second for measurement in rounds for second in measurement.seconds)
        spread = (max(medians) - min(medians)) / seconds
        return cls(
            name, seconds, spread, tokens / seconds, max(measurement.peak_bytes for measurement in rounds), flops,
            flops / seconds, flops / best_flops_per_s / seconds, rounds[-1].profile,
        )  # fmt: skip


def bench_training(
    shape: Shape,
    peers: list[str],
    *,
    threads: int,
    steps: int,
    rounds: int,
    say: Callable[[str], Any],
    precision: Precision = "float32",
    profiled: int = 0,
) -> list[Side]:
    """Ours first, then every peer; rounds run A B A B. UserError where the losses of two disagree.

    The floor is what our fastest product of large matrices in any round would need for the step's products.
    """
    for peer in peers:
        check_peer(peer)
    names = ["scratchgrad", *peers]
    results: dict[str, list[Measurement]] = {name: [] for name in names}
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(shape.batch, shape.context, threads, steps, precision=precision, profiled=profiled)
        prepare_job(Path(folder), shape, settings)
        for number in range(rounds):
            for name in names:
                result = measure_undisturbed(WORKERS[name], Path(folder))
                is_disturbed = result.disturbance > MOST_DISTURBANCE
                others = f"; others used {result.disturbance:.0%} of the cores" if is_disturbed else ""
                say(f"round {number + 1}/{rounds}  {name}: {result.median:.3f} s a step{others}")
                results[name].append(result)
    ours = results["scratchgrad"]
    for peer in peers:
        theirs = results[peer][0].losses
        tolerance = LOSS_TOLERANCE if precision == "float32" else LOSS_TOLERANCE_BF16
        if not math.isclose(ours[0].losses[-1], theirs[-1], rel_tol=tolerance):
            raise UserError(f"scratchgrad and {peer} do not compute the same: losses {ours[0].losses} and {theirs}")
    best = max(measurement.peak_flops_per_s for measurement in ours)
    tokens = shape.batch * shape.context
    return [Side.of(name, measured, tokens, ours[0].flops, best) for name, measured in results.items()]


def check_peer(peer: str) -> None:
    """UserError where the peer is not known, or what it needs is not here."""
    is_here = shutil.which("mpirun") is not None if peer == "2-ranks" else find_spec("torch") is not None
    if peer not in PEERS or not is_here:
        raise UserError(
            f"the peer '{peer}' is not installed here; known ones: {', '.join(PEERS)} (pip install scratchgrad[bench])"
        )
