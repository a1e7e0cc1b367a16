"""What the engine itself costs: a chain of small ops, ours and a peer's in turn in fresh processes."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

from scratchgrad.tools.bench.workers import check_peers, run_worker, worker_command

WORKER = Path(__file__).parent / "engine_worker.py"
PEERS = ("torch",)


def bench_engine(peers: list[str], *, length: int, rounds: int, say: Callable[[str], Any]) -> dict[str, float]:
    """The median seconds of a chain of `length` additions, forward and backward, by system; ours first."""
    check_peers(peers, PEERS)
    seconds: dict[str, list[float]] = {name: [] for name in ("scratchgrad", *peers)}
    for number in range(rounds):
        for name, measured in seconds.items():
            measured.append(statistics.median(run_worker(worker_command(WORKER, name, length))))
            say(f"round {number + 1}/{rounds}  {name}: {measured[-1] * 1e3:.2f} ms")
    return {name: statistics.median(measured) for name, measured in seconds.items()}
