"""A run in bf16 learns like one in float32, and is as deterministic."""

from importlib.util import find_spec

import pytest

from tests.jobs import rows_without_time

pytestmark = pytest.mark.mpi


@pytest.fixture(autouse=True)
def kernels(monkeypatch):
    """bf16 is made of kernels: what the whole suite runs without, these runs have."""
    monkeypatch.setenv("SCRATCHGRAD_KERNELS", "on")


@pytest.mark.slow
@pytest.mark.skipif(find_spec("numkong") is None, reason="the extra `fast` is not installed: no numkong")
def test_ranks_threads_recomputation_and_an_interruption_change_no_bit_and_the_loss_follows_float32(
    tmp_path, start, recipe, whole_run
):
    def losses(name: str, *overrides: str, ranks: int | None = None) -> list[dict[str, object]]:
        job = start("scratchgrad-train", *overrides, ranks=ranks)
        assert job.end() == 0, job.output
        return rows_without_time(tmp_path / name)

    bf16 = (recipe, "train.precision=bf16")
    whole = losses("whole", *bf16, "log.run_dir=whole", "train.threads=1")
    assert losses("two", *bf16, "log.run_dir=two", "train.threads=2", "train.recompute=full", ranks=2) == whole

    job = start("scratchgrad-train", *bf16, "log.run_dir=stopped", "checkpoint.every_steps=5")
    job.wait_for("step 20/")
    job.kill()
    assert losses("stopped", "--resume", "stopped") == whole

    exact = rows_without_time(whole_run)  # the same recipe in float32
    assert [row["step"] for row in whole] == list(range(1, 61))
    for mine, theirs in zip(whole, exact, strict=True):
        assert mine["loss"] == pytest.approx(theirs["loss"], rel=5e-3)  # a rounding is 2e-3, and these have many
    assert whole != exact


def test_without_the_extra_it_is_one_sentence(start, recipe):
    code = """
import sys
sys.modules.update(numkong=None, llvmlite=None)
from scratchgrad.train.commands.train import main
main()
"""
    job = start(code, recipe, "train.precision=bf16")
    assert job.end() == 2
    assert "precision bf16 needs numkong: install scratchgrad[fast], or use precision float32" in job.output
    assert "Traceback" not in job.output


def test_it_is_for_the_cpu(start, recipe):
    job = start("scratchgrad-train", recipe, "train.precision=bf16", "train.device=cuda")
    assert job.end() == 2
    assert "train.precision = bf16 is for train.device = cpu, not cuda" in job.output
