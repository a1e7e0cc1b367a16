"""Training and encoding by one thread, ours and the peers' in turn in fresh processes, on the same text and vocabulary.

The vocabulary is trained on the text itself, and written for each peer in its own format; every result is compared.
"""

from __future__ import annotations

import json
import statistics
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scratchgrad.errors import UserError
from scratchgrad.tools import tokenizer as tokenizers
from scratchgrad.tools.bench.workers import check_peers, run_worker, worker_command
from scratchgrad.tools.tokenizer import train_bpe

WORKER = Path(__file__).parent / "tokenizer_worker.py"
OURS = "scratchgrad"
PEERS = ("tiktoken", "tokenizers")
TRAINERS = (OURS, "tokenizers")
ONE_THREAD = {"RAYON_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
LONG_RUN = 100_000  # of one letter
DOCUMENT = 20_000  # characters


@dataclass(frozen=True)
class TokenizerTiming:
    """seconds: the median over all rounds, by system. text_bytes: of the text, in UTF-8."""

    task: str
    text: str
    text_bytes: int
    seconds: dict[str, float]

    def times_as_fast_as(self, peer: str) -> float:
        return self.seconds[peer] / self.seconds[OURS]


def bench_tokenizer(
    texts: Mapping[str, str], peers: list[str], *, vocab_size: int, rounds: int, say: Callable[[str], Any]
) -> list[TokenizerTiming]:
    """Every text trained on and encoded, and a long run of one letter; UserError where two disagree."""
    check_peers(peers, PEERS)
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for title, text in texts.items():
            _prepare(folder, text, vocab_size)
            for task in ("train", "encode"):
                systems = [s for s in (OURS, *peers) if task != "train" or s in TRAINERS]
                rows.append(_row(task, title, len(text.encode()), systems, folder, rounds, say))
        (folder / "documents.json").write_text(json.dumps(["a" * LONG_RUN]))
        rows.append(_row("encode", f"{LONG_RUN:,} x a", LONG_RUN, [OURS, *peers], folder, rounds, say))
    return rows


def _prepare(folder: Path, text: str, vocab_size: int) -> None:
    documents = [text[start : start + DOCUMENT] for start in range(0, len(text), DOCUMENT)]
    (folder / "documents.json").write_text(json.dumps(documents))
    vocabulary = train_bpe(documents, vocab_size)
    (folder / "settings.json").write_text(json.dumps({"vocab_size": vocab_size, "special": vocabulary.special_tokens}))
    tokenizers.save(vocabulary, folder / "tokenizer.json")
    tokenizers.save(vocabulary, folder / "vocabulary.tiktoken")


def _row(
    task: str, title: str, size: int, systems: list[str], folder: Path, rounds: int, say: Callable[[str], Any]
) -> TokenizerTiming:
    seconds: dict[str, list[float]] = {system: [] for system in systems}
    results: dict[str, str] = {}
    for number in range(rounds):
        for system in systems:
            done = run_worker(worker_command(WORKER, system, task, folder), ONE_THREAD)
            seconds[system] += done["seconds"]
            results[system] = done["result"]
            median = statistics.median(done["seconds"])
            say(f"round {number + 1}/{rounds}  {task} {title}, {system}: {median:.3f} s")
    for system, result in results.items():
        if result != results[OURS]:
            raise UserError(f"scratchgrad and {system} do not agree: {task} {title}")
    return TokenizerTiming(task, title, size, {system: statistics.median(found) for system, found in seconds.items()})
