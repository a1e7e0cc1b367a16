"""What recomputation saves: the peak memory of a whole process that trains, and the time it pays for that."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from scratchgrad.train.bench.job import Measurement, Settings, measure, prepare_job
from scratchgrad.train.bench.shapes import Shape
from scratchgrad.train.bench.training import WORKERS

WAYS = {"none": 0, "every 4": 4, "every 2": 2, "full": 1}  # train.recompute, and the blocks that are run again as one


def bench_memory(
    shape: Shape, *, threads: int, steps: int, say: Callable[[str], Any], ways: Iterable[str] = WAYS
) -> dict[str, Measurement]:
    """Each way of recomputation in a fresh process, on the same weights and text."""
    results = {}
    for way in ways:
        with tempfile.TemporaryDirectory() as folder:
            settings = Settings(shape.batch, shape.context, threads, steps, warmup=1, recompute_every=WAYS[way])
            prepare_job(Path(folder), shape, settings)
            results[way] = measure(WORKERS["scratchgrad"], Path(folder))
        say(f"recompute {way}: {results[way].peak_bytes / 1e6:,.0f} MB, {results[way].median:.3f} s a step")
    return results
