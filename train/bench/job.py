"""One measurement: steps of training in a fresh process, so that neither side inherits the other's memory or caches.

A job is a folder with the model to start from (in Hugging Face's layout), the ids of every step, and settings. The
processes that do it write a Measurement, as JSON, to stdout: `our_worker` and `torch_worker` do the same work.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from scratchgrad import manual_seed, models
from scratchgrad.errors import UserError
from scratchgrad.train.bench.shapes import Shape
from scratchgrad.train.data import NextToken, TrainBatches

SEED = 0


@dataclass(frozen=True)
class Settings:
    """batch and context as in Shape; `recompute_every` 0 keeps everything. The first `warmup` steps do not count."""

    batch: int
    context: int
    threads: int
    steps: int
    warmup: int = 2
    recompute_every: int = 0
    learning_rate: float = 1e-3
    max_grad_norm: float = 1.0


@dataclass(frozen=True)
class Measurement:
    seconds: list[float]  # of every step that counts
    losses: list[float]  # of every step, in nats per token
    peak_bytes: int  # of the whole process

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)


def prepare_job(folder: Path, shape: Shape, settings: Settings) -> None:
    """Write model.safetensors, ids.npy (steps, batch, context + 1) and settings.json."""
    manual_seed(SEED)
    models.save(models.build(models.config_from_dict(shape.config)), folder)
    steps = settings.warmup + settings.steps
    count = shape.batch * (steps + 2) * shape.context
    text = np.random.default_rng(SEED).integers(shape.config["vocab_size"], size=count, dtype=np.uint16)
    batches = TrainBatches(text, NextToken(shape.context), shape.batch, SEED)
    rows = [batches.rows(step, 0, shape.batch) for step in range(steps)]
    ids = np.stack([np.concatenate([row["ids"], row["targets"][:, -1:]], axis=1) for row in rows])
    np.save(folder / "ids.npy", ids)
    (folder / "settings.json").write_text(json.dumps(asdict(settings)))


def measure(worker: Path, folder: Path) -> Measurement:
    """Do the job in `folder` with this program, in a process of its own."""
    threads = str(json.loads((folder / "settings.json").read_text())["threads"])
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": threads,
        "OPENBLAS_NUM_THREADS": threads,
        "MKL_NUM_THREADS": threads,
    }
    done = subprocess.run([sys.executable, "-P", worker, folder], capture_output=True, text=True, env=environment)
    if done.returncode != 0:
        raise UserError(f"{worker.name} failed:\n{done.stderr.strip()}")
    return Measurement(**json.loads(done.stdout))
