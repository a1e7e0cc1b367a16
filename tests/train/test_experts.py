"""A run with experts: what they had to do is counted over all microbatches, and the bits do not depend on the ranks."""

import pytest

from tests.jobs import rows_without_time

pytestmark = pytest.mark.mpi

EXPERTS = [
    "model.num_local_experts=4", "model.num_experts_per_tok=2", "model.capacity_factor=1.0",
    "model.router_z_loss_coef=0.01", "train.steps=10", "train.eval_every=10",
]  # fmt: skip


def test_ranks_and_recomputation_change_no_bit_and_every_choice_is_counted(tmp_path, start, recipe):
    ways = [(None, "train.threads=1"), (2, "train.threads=1"), (2, "train.threads=1", "train.recompute=full")]
    runs = []
    for number, (ranks, *overrides) in enumerate(ways):
        job = start("scratchgrad-train", recipe, *EXPERTS, *overrides, f"log.run_dir=run-{number}", ranks=ranks)
        assert job.end() == 0, job.output
        runs.append(rows_without_time(tmp_path / f"run-{number}"))
    assert runs[0] == runs[1] == runs[2]
    assert len(runs[0]) == 10
    for row in runs[0]:
        assert [sum(layer) for layer in row["expert_load"]] == [8 * 32 * 2] * 3, "batch, context, k; three layers"
        assert len(row["dropped_tokens"]) == 3
    assert sum(runs[0][0]["dropped_tokens"]) > 0


def test_a_dense_run_says_nothing_of_experts(tmp_path, start, recipe):
    job = start("scratchgrad-train", recipe, "train.steps=1", "log.run_dir=run")
    assert job.end() == 0, job.output
    (row,) = rows_without_time(tmp_path / "run")
    assert not row.keys() & {"expert_load", "dropped_tokens"}
