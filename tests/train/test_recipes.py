"""Every packaged recipe, some steps of it: it learns, and gives the same bits on one rank and on two, recomputed or not."""

import numpy as np
import pytest

from scratchgrad.train.recipe_files import load_recipe, packaged_recipes
from tests.jobs import rows_without_time

pytestmark = pytest.mark.mpi

SMALL = [
    "train.steps=10", "train.batch_size=4", "train.microbatches=2", "train.context=32", "train.warmup_steps=2",
    "train.eval_every=5", "train.eval_tokens=300", "train.dropout=0.1",
]  # fmt: skip
TEXTS = ["data.source=files", "data.files=[text/*.txt]", "data.validation=0.2", "tokenizer.vocab_size=400"]
PAIRS = ["data.pairs=200", "data.validation=0.2"]


QUICK = "bert-toy.yaml"  # two inputs, dropout, a bidirectional model: what differs most from the other tests' recipe


def data_of(name):
    return TEXTS if load_recipe(name).data.source == "stdlib" else PAIRS


def test_two_steps_of_all(tmp_path, start, recipe):
    few = [*SMALL, "train.steps=2", "train.eval_every=2"]
    jobs = {
        name: start("scratchgrad-train", name, *few, *data_of(name), f"log.run_dir={name}", "train.threads=1")
        for name in packaged_recipes()
    }
    for name, job in jobs.items():
        assert job.end() == 0, job.output
        rows = rows_without_time(tmp_path / name)
        assert [row["step"] for row in rows] == [1, 2]
        assert np.isfinite(rows[-1]["val_loss"])


@pytest.mark.parametrize("name", [
    name if name == QUICK else pytest.param(name, marks=pytest.mark.slow) for name in packaged_recipes()
])  # fmt: skip
def test_ten_steps_on_one_and_on_two_ranks(name, tmp_path, start, recipe):
    ways = {"one": (None, "train.recompute=none"), "two": (2, "train.recompute=full")}
    jobs = {
        run: start("scratchgrad-train", name, *SMALL, *data_of(name), f"log.run_dir={run}", recompute, ranks=ranks)
        for run, (ranks, recompute) in ways.items()
    }
    for job in jobs.values():
        assert job.end() == 0, job.output
    one, two = (rows_without_time(tmp_path / run) for run in jobs)
    assert one == two
    assert [row["step"] for row in one] == list(range(1, 11))
    assert [row["step"] for row in one if "val_loss" in row] == [5, 10]
    assert len({row["loss"] for row in one}) == 10
