"""One measurement: steps of training in a fresh process, so that neither side inherits the other's memory or caches.

A job is a folder with the model to start from (in Hugging Face's layout), the batch of every step, and settings. The
processes that do it write a Measurement, as JSON, to stdout: `our_worker` and `torch_worker` do the same work.
"""

from __future__ import annotations

import json
import os
import statistics
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from scratchgrad import manual_seed, models
from scratchgrad.ops.cross_entropy import IGNORE_INDEX
from scratchgrad.tools.bench.shapes import Shape
from scratchgrad.tools.bench.workers import run_worker

SEED = 0
STAT = Path("/proc/stat")
MOST_DISTURBANCE, MOST_TRIES = 0.05, 3
Precision = Literal["float32", "bf16"]


@dataclass(frozen=True)
class Settings:
    """batch and context as in Shape; recompute as train.recompute. The first `warmup` steps do not count.

    profiled: steps that are taken once more at the end, under a profile.
    """

    batch: int
    context: int
    threads: int
    steps: int
    warmup: int = 2
    precision: Precision = "float32"
    recompute: str = "none"
    recompute_every: int | None = None
    profiled: int = 0
    learning_rate: float = 1e-3
    max_grad_norm: float = 1.0


@dataclass(frozen=True)
class Measurement:
    """What a worker says. Only ours counts arithmetic, and measures what large matrix products reach beside it."""

    seconds: list[float]  # of every step that counts
    losses: list[float]  # of every step, in nats per token
    peak_bytes: int  # of the whole process
    flops: int = 0  # of the matrix products of a step
    peak_flops_per_s: float = 0.0
    profile: list[dict[str, Any]] = field(default_factory=list)  # the rows, each an average over the profiled steps
    disturbance: float = 0.0  # the share of the machine's cores that others used meanwhile

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)


def prepare_job(folder: Path, shape: Shape, settings: Settings) -> None:
    """Write model.safetensors, ids.npy and targets.npy (steps, batch, context), and settings.json."""
    manual_seed(SEED)
    config = models.config_from_dict(shape.config)
    models.save(models.build(config, architectures=shape.config.get("architectures")), folder)
    rng = np.random.default_rng(SEED)
    steps = settings.warmup + settings.steps
    text = rng.integers(config.vocab_size, size=(steps, shape.batch, shape.context + 1))
    ids, targets = text[:, :, :-1], text[:, :, 1:]
    if shape.asked < 1:
        targets = np.where(rng.random(ids.shape) < shape.asked, ids, IGNORE_INDEX)
    np.save(folder / "ids.npy", ids)
    np.save(folder / "targets.npy", targets)
    (folder / "settings.json").write_text(json.dumps(asdict(settings)))


def measure(command: list[str], folder: Path) -> Measurement:
    """Do the job in `folder` by this command line of a worker, in a process of its own."""
    threads = str(json.loads((folder / "settings.json").read_text())["threads"])
    environment = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), threads)
    began, busy_before, ours_before = time.perf_counter(), _busy_seconds(), _our_seconds()
    result = run_worker([*command, str(folder)], environment)
    others = _busy_seconds() - busy_before - (_our_seconds() - ours_before)
    available = (time.perf_counter() - began) * (os.cpu_count() or 1)
    return Measurement(**result, disturbance=max(0.0, others / available))


def measure_undisturbed(command: list[str], folder: Path) -> Measurement:
    """The best of a few calls of `measure`: it is repeated while others use much of the machine."""
    tries: list[Measurement] = []
    while not tries or (len(tries) < MOST_TRIES and tries[-1].disturbance > MOST_DISTURBANCE):
        tries.append(measure(command, folder))
    return min(tries, key=lambda measurement: measurement.disturbance)


def _busy_seconds() -> float:
    """What all processes, and other guests of the same host, have used so far; 0 where the kernel does not tell."""
    try:
        user, nice, system, _, _, irq, softirq, steal = map(int, STAT.read_text().split("\n")[0].split()[1:9])
    except OSError:
        return 0.0
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def _our_seconds() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system
