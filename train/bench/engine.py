"""What the engine itself costs: a chain of small ops, ours and a peer's in turn in fresh processes."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from scratchgrad.errors import UserError

WORKER = Path(__file__).parent / "engine_worker.py"
PEERS = ("torch",)


def bench_engine(peers: list[str], *, length: int, rounds: int, say: Callable[[str], Any]) -> dict[str, float]:
    """The median seconds of a chain of `length` additions, forward and backward, by system; ours first."""
    for peer in peers:
        if peer not in PEERS or find_spec(peer) is None:
            raise UserError(f"the peer '{peer}' is not installed here; known ones: {', '.join(PEERS)}")
    seconds: dict[str, list[float]] = {name: [] for name in ("scratchgrad", *peers)}
    for number in range(rounds):
        for name, measured in seconds.items():
            words = [sys.executable, "-P", str(WORKER), name, str(length)]
            done = subprocess.run(words, capture_output=True, text=True)
            if done.returncode != 0:
                raise UserError(f"{WORKER.name} failed:\n{done.stderr.strip()}")
            measured.append(statistics.median(json.loads(done.stdout)))
            say(f"round {number + 1}/{rounds}  {name}: {measured[-1] * 1e3:.2f} ms")
    return {name: statistics.median(measured) for name, measured in seconds.items()}
