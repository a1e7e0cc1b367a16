"""Does a bench job with scratchgrad, by the trainer's own step. Run as a program: our_worker.py FOLDER."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from scratchgrad import models, optim, set_threads
from scratchgrad.train.dry_run import peak_memory
from scratchgrad.train.gradients import Shards, descend, sum_gradients
from scratchgrad.train.ranks import Ranks


class Steps:
    """The ids of a job, read as the trainer reads its text."""

    def __init__(self, ids: np.ndarray[Any, Any]) -> None:
        self._ids = ids

    def rows(self, step: int, first: int, last: int) -> dict[str, np.ndarray[Any, Any]]:
        return {"ids": self._ids[step, first:last, :-1], "targets": self._ids[step, first:last, 1:]}


def main(folder: Path) -> None:
    settings = json.loads((folder / "settings.json").read_text())
    set_threads(settings["threads"])
    model = models.load(folder)
    model.recompute_every = settings["recompute_every"]
    batches = Steps(np.load(folder / "ids.npy"))
    optimizer = optim.AdamW(
        model.named_parameters(), settings["learning_rate"], betas=(0.9, 0.95), eps=1e-8, weight_decay=0.1
    )
    ranks = Ranks()
    shards = Shards.of(settings["batch"], 1, ranks)
    seconds, losses = [], []
    for step in range(settings["warmup"] + settings["steps"]):
        began = time.perf_counter()
        batch = sum_gradients(model, batches, step, 0, shards, ranks, [])
        descend(optimizer, batch.tokens, settings["max_grad_norm"])
        seconds.append(time.perf_counter() - began)
        losses.append(batch.loss / batch.tokens)
    print(json.dumps({"seconds": seconds[settings["warmup"] :], "losses": losses, "peak_bytes": peak_memory()}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
