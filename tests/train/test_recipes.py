"""Every packaged recipe, ten steps of it: the same bits on one rank and on two, recomputed or not."""

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


@pytest.mark.parametrize("name", packaged_recipes())
def test_ten_steps_on_one_and_on_two_ranks(name, tmp_path, start, recipe):
    data = TEXTS if load_recipe(name).data.source == "stdlib" else PAIRS
    ways = {"one": (None, "train.recompute=none"), "two": (2, "train.recompute=full")}
    jobs = {
        run: start("scratchgrad-train", name, *SMALL, *data, f"log.run_dir={run}", recompute, ranks=ranks)
        for run, (ranks, recompute) in ways.items()
    }
    for job in jobs.values():
        assert job.end() == 0, job.output
    one, two = (rows_without_time(tmp_path / run) for run in jobs)
    assert one == two
    assert [row["step"] for row in one] == list(range(1, 11))
    assert [row["step"] for row in one if "val_loss" in row] == [5, 10]
    assert len({row["loss"] for row in one}) == 10
