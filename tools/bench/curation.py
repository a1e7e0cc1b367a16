"""Filters and MinHash signatures by one thread, ours and the peers' in turn in fresh processes, on the same text."""

from __future__ import annotations

import json
import statistics
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from scratchgrad.errors import UserError
from scratchgrad.tools.bench.workers import check_peers, run_worker, worker_command
from scratchgrad.tools.text import build_source

WORKER = Path(__file__).parent / "curation_worker.py"
OURS = "scratchgrad"
PEERS = ("datatrove",)
TASKS = ("filters", "MinHash signatures")
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
PAGE = 3000  # characters of a document that is cut from a longer text


@dataclass(frozen=True)
class CurationTiming:
    """megabytes_per_s: by system, the median over all rounds, of text in UTF-8. counts: of documents that each keeps or
    signs; they differ where peers take other words for words.
    """

    task: str
    bytes: int
    documents: int
    megabytes_per_s: dict[str, float]
    counts: dict[str, int]


def bench_curation(
    files: Sequence[str], size: int, peers: list[str], *, rounds: int, say: Callable[[str], Any]
) -> list[CurationTiming]:
    """files: globs of texts; long ones are cut into pages, which are repeated until there are `size` bytes."""
    check_peers(peers, PEERS)
    texts = _pages(files, size)
    total = sum(len(text.encode("utf-8", "replace")) for text in texts)
    rows = []
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "texts.json"
        path.write_text(json.dumps(texts))
        for task in TASKS:
            seconds: dict[str, list[float]] = {system: [] for system in (OURS, *peers)}
            counts = {}
            for number in range(rounds):
                for system, found in seconds.items():
                    done = run_worker(worker_command(WORKER, system, task, path), ONE_THREAD)
                    found.append(done["seconds"])
                    counts[system] = done["count"]
                    say(f"round {number + 1}/{rounds}  {task}, {system}: {done['seconds']:.2f} s")
            speed = {system: total / 1e6 / statistics.median(found) for system, found in seconds.items()}
            rows.append(CurationTiming(task, total, len(texts), speed, counts))
    return rows


def _pages(files: Sequence[str], size: int) -> list[str]:
    source = build_source("files", files=list(files)) if files else build_source("stdlib")
    pages, left = [], size
    once = [
        text[start : start + PAGE]
        for example in islice(source.examples(), 100_000)
        for text in [example.text()]
        for start in range(0, len(text), PAGE)
    ]
    if not once:
        raise UserError("there is no text to measure with")
    while left > 0:
        for page in once:
            pages.append(page)
            left -= len(page.encode("utf-8", "replace"))
            if left <= 0:
                break
    return pages
