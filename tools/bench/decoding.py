"""How fast a model writes: one text and several at once, greedily, beside the rate of its bare matrix products."""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scratchgrad import manual_seed, models
from scratchgrad.tools.bench.shapes import Shape
from scratchgrad.tools.bench.workers import check_peers, run_worker, worker_command

HERE = Path(__file__).parent
WORKERS = {"scratchgrad": HERE / "decode_worker.py", "torch": HERE / "torch_decode_worker.py"}
PEERS = ("torch",)
SEED = 0


@dataclass(frozen=True)
class Writing:
    """Medians over rounds. bare_per_s: passes of one vector through all weights; 0 for a peer, who does not tell."""

    system: str
    prompts: int
    tokens_per_s: float  # of all texts together, after the prompts were read
    bare_per_s: float


def bench_decoding(
    shape: Shape,
    prompts: Sequence[int],
    peers: Sequence[str],
    *,
    tokens: int,
    threads: int,
    rounds: int,
    say: Callable[[str], Any],
) -> list[Writing]:
    """A Writing for each number of prompts and each system, ours first. Fresh processes, in turn: A B A B."""
    check_peers(peers, PEERS)
    cases = [(system, count) for count in prompts for system in ("scratchgrad", *peers)]
    seen: dict[tuple[str, int], list[dict[str, float]]] = {case: [] for case in cases}
    with tempfile.TemporaryDirectory() as folder:
        manual_seed(SEED)
        models.save(models.build(models.config_from_dict(shape.config)), Path(folder))
        for number in range(rounds):
            for system, count in cases:
                seen[system, count].append(run_worker(worker_command(WORKERS[system], folder, count, tokens, threads)))
                rate = seen[system, count][-1]["tokens_per_s"]
                say(f"round {number + 1}/{rounds}  {system}, {count} at once: {rate:,.0f} tokens/s")

    def median(case: tuple[str, int], figure: str) -> float:
        return statistics.median(result.get(figure, 0.0) for result in seen[case])

    return [Writing(*case, median(case, "tokens_per_s"), median(case, "bare_per_s")) for case in cases]
