"""A small recipe, and a way to start jobs that leaves nothing behind."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.train.jobs import MPIRUN, SCRIPTS, Job

Start = Callable[..., Job]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """start("scratchgrad-train", "toy.yaml", ranks=4): a Job in `tmp_path`; ranks=None starts it without a launcher.

    The name is a program of ours, or the source of a Python program.
    """
    jobs: list[Job] = []

    def begin(name: str, *arguments: object, ranks: int | None = None, **environment: str) -> Job:
        launcher = [] if ranks is None else [str(MPIRUN), "-n", str(ranks)]
        program = [str(SCRIPTS / name)] if name.startswith("scratchgrad-") else [sys.executable, "-c", name]
        jobs.append(Job([*launcher, *program, *map(str, arguments)], tmp_path, environment))
        return jobs[-1]

    yield begin
    for job in jobs:
        job.kill()


RECIPE = """
model: {model_type: llama, hidden_size: 32, num_hidden_layers: 3, num_attention_heads: 4, num_key_value_heads: 2,
        intermediate_size: 48, tie_word_embeddings: true}
tokenizer: {vocab_size: 300}
data: {source: files, files: [text/*.txt], validation: 0.2}
train: {steps: 60, batch_size: 8, context: 32, microbatches: 4, learning_rate: 3e-3, warmup_steps: 5, dropout: 0.1,
        eval_every: 20, eval_tokens: 1000}
checkpoint: {every_steps: 10, keep_last: 2}
"""


@pytest.fixture
def recipe(tmp_path: Path) -> str:
    """tiny.yaml in `tmp_path`, with the text that it trains on."""
    rng = np.random.default_rng(0)
    words = [bytes(rng.integers(97, 123, rng.integers(1, 8)).tolist()).decode() for _ in range(200)]
    (tmp_path / "text").mkdir()
    for number in range(40):
        (tmp_path / "text" / f"{number:02d}.txt").write_text(" ".join(rng.choice(words, 200)) + "\n")
    (tmp_path / "tiny.yaml").write_text(RECIPE)
    return "tiny.yaml"
