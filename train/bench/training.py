"""The time of a training step, ours and a peer's in turn, on the same weights and the same text."""

from __future__ import annotations

import math
import statistics
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from scratchgrad.errors import UserError
from scratchgrad.train.bench.job import Measurement, Settings, measure, prepare_job
from scratchgrad.train.bench.shapes import Shape

HERE = Path(__file__).parent
WORKERS = {"scratchgrad": HERE / "our_worker.py", "torch": HERE / "torch_worker.py"}
LOSS_TOLERANCE = 1e-3  # relative, after all steps: float32 sums in another order drift apart a little with each


@dataclass(frozen=True)
class Side:
    """What one system came to over all rounds."""

    name: str
    seconds: float  # the median of all steps
    spread: float  # (slowest - fastest round) / median
    tokens_per_s: float
    peak_bytes: int

    @classmethod
    def of(cls, name: str, rounds: list[Measurement], tokens: int) -> Side:
        medians = [measurement.median for measurement in rounds]
        seconds = statistics.median(second for measurement in rounds for second in measurement.seconds)
        spread = (max(medians) - min(medians)) / seconds
        return cls(name, seconds, spread, tokens / seconds, max(measurement.peak_bytes for measurement in rounds))


def bench_training(
    shape: Shape, peers: list[str], *, threads: int, steps: int, rounds: int, say: Callable[[str], Any]
) -> list[Side]:
    """Ours first, then every peer; rounds run A B A B. UserError where the losses of two disagree."""
    for peer in peers:
        if peer not in WORKERS or find_spec(peer) is None:
            known = ", ".join(name for name in WORKERS if name != "scratchgrad")
            raise UserError(
                f"the peer '{peer}' is not installed here; known ones: {known} (pip install scratchgrad[bench])"
            )
    names = ["scratchgrad", *peers]
    results: dict[str, list[Measurement]] = {name: [] for name in names}
    with tempfile.TemporaryDirectory() as folder:
        prepare_job(Path(folder), shape, Settings(shape.batch, shape.context, threads, steps))
        for number in range(rounds):
            for name in names:
                result = measure(WORKERS[name], Path(folder))
                say(f"round {number + 1}/{rounds}  {name}: {result.median:.3f} s a step")
                results[name].append(result)
    ours = results["scratchgrad"][0].losses
    for peer in peers:
        theirs = results[peer][0].losses
        if not math.isclose(ours[-1], theirs[-1], rel_tol=LOSS_TOLERANCE):
            raise UserError(f"scratchgrad and {peer} do not compute the same: losses {ours} and {theirs}")
    return [Side.of(name, measurements, shape.batch * shape.context) for name, measurements in results.items()]
