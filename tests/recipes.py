"""Does every packaged recipe reach what it promises? Each is trained on two ranks, and looked at; minutes for each.

make recipes                          all of them
python -m tests.recipes t5-toy        some
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from scratchgrad import Tensor, models, no_grad
from scratchgrad.ops.cross_entropy import IGNORE_INDEX
from scratchgrad.tools.runs import newest_checkpoint
from scratchgrad.train import metrics
from scratchgrad.train.batches import Batch
from scratchgrad.train.data import build_objective, prepare_data
from scratchgrad.train.recipe_files import load_recipe
from tests.jobs import MPIRUN, SCRIPTS

RANKS = 2


@dataclass(frozen=True)
class Promise:
    """What a recipe's run, in its folder, comes to: a number that is at least, or at most, this large."""

    recipe: str
    what: str
    measured: Callable[[Path], float]
    at_least: float = -np.inf
    at_most: float = np.inf

    @property
    def bounds(self) -> str:
        return f">= {self.at_least:g}" if self.at_least > -np.inf else f"<= {self.at_most:g}"


def last(name: str) -> Callable[[Path], float]:
    """This number of the last line of metrics.jsonl."""
    return lambda run: metrics.read(run / "metrics.jsonl")[-1][name]


def fullest_expert(run: Path) -> float:
    """The largest share of a layer's choices that one of eight experts got in the last step; even shares are 0.125."""
    load = np.array(metrics.read(run / "metrics.jsonl")[-1]["expert_load"])
    return float((load / load.sum(axis=1, keepdims=True)).max())


def exact_match(run: Path) -> float:
    """The share of validation pairs whose whole target the model writes, choosing the likeliest token each time."""
    recipe, model = load_recipe(str(run / "recipe.yaml")), models.load(newest_checkpoint(run))
    prepared = prepare_data(recipe, lambda _: None)
    objective = build_objective(recipe, prepared.tokenizer)
    batch = objective.batches(prepared.validation, [1.0]).sample(10**9)
    targets = batch["targets"]
    return float(((written(model, batch) == targets) | (targets == IGNORE_INDEX)).all(axis=1).mean())


def written(model: models.EncoderDecoder, batch: Batch) -> np.ndarray:
    """As many tokens for each source as the longest target has."""
    rows, longest = batch["targets"].shape
    tokens = [np.full((rows, 1), model.config.decoder_start_token_id)]
    with no_grad():
        mask = Tensor(batch["attention_mask"])
        memory, cache = model.eval().encode(Tensor(batch["input_ids"]), mask), model.new_cache(rows)
        for _ in range(longest):
            tokens.append(model.decode(Tensor(tokens[-1]), cache, memory, mask).data.argmax(-1)[:, None])
    return np.concatenate(tokens[1:], axis=1)


PROMISES = [
    Promise("bert-toy", "hidden tokens told right", last("val_masked_accuracy"), at_least=0.40),
    Promise("bert-toy", "next sentences told right", last("val_next_sentence_accuracy"), at_least=0.62),
    Promise("gpt2-toy", "validation bits per byte", last("val_bpb"), at_most=2.1),
    Promise("moe-toy", "validation bits per byte", last("val_bpb"), at_most=2.0),
    Promise("moe-toy", "of a layer's choices, the fullest expert's share", fullest_expert, at_most=0.25),
    Promise("t5-toy", "validation loss of what was taken out, in nats a token", last("val_loss"), at_most=4.15),
    Promise("transformer-toy", "validation pairs written exactly", exact_match, at_least=0.95),
]


def main(names: list[str]) -> int:
    wanted = [promise for promise in PROMISES if not names or promise.recipe in names]
    unknown = set(names) - {promise.recipe for promise in wanted}
    if unknown or not wanted:
        print(f"nothing is promised of {', '.join(unknown)}; of {', '.join(p.recipe for p in PROMISES)} there is")
        return 2
    is_kept = True
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        print(f"{'recipe':18}{'seconds':>8}  {'reached':>8}  {'promised':>9}")
        for recipe in dict.fromkeys(promise.recipe for promise in wanted):
            began = time.monotonic()
            run = Path(recipe)
            command = [MPIRUN, "-n", RANKS, SCRIPTS / "scratchgrad-train", f"{recipe}.yaml", f"log.run_dir={run}"]
            subprocess.run(list(map(str, command)), check=True, stdout=sys.stderr)
            seconds = time.monotonic() - began
            for promise in wanted:
                if promise.recipe == recipe:
                    reached = promise.measured(run)
                    held = promise.at_least <= reached <= promise.at_most
                    is_kept = is_kept and held
                    print(
                        f"{recipe:18}{seconds:8.0f}  {reached:8.3f}  {promise.bounds:>9}  {promise.what}"
                        + ("" if held else "  BROKEN"),
                        flush=True,
                    )
    return 0 if is_kept else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
