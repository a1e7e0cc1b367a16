"""What recomputation saves: the peak memory of a whole process that trains, and the time it pays for that."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from scratchgrad.tools.bench.shapes import Shape
from scratchgrad.train.bench.job import Measurement, Settings, measure, prepare_job
from scratchgrad.train.bench.training import WORKERS

# train.recompute, and train.recompute_every
WAYS: dict[str, tuple[str, int | None]] = {
    "none": ("none", None),
    "attention": ("attention", None),
    "every 4": ("every", 4),
    "every 2": ("every", 2),
    "full": ("full", None),
}


def bench_memory(
    shape: Shape, *, threads: int, steps: int, say: Callable[[str], Any], ways: Iterable[str] = WAYS
) -> dict[str, Measurement]:
    """Each way of recomputation in a fresh process, on the same weights and text."""
    results = {}
    for way in ways:
        with tempfile.TemporaryDirectory() as folder:
            recompute, every = WAYS[way]
            settings = Settings(
                shape.batch, shape.context, threads, steps, warmup=1, recompute=recompute, recompute_every=every
            )
            prepare_job(Path(folder), shape, settings)
            results[way] = measure(WORKERS["scratchgrad"], Path(folder))
        say(f"recompute {way}: {results[way].peak_bytes / 1e6:,.0f} MB, {results[way].median:.3f} s a step")
    return results
