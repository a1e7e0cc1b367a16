"""The benches of training measure what they say: fresh processes, the same work on both sides, and memory that recomputation
saves.
"""

import json
import re
from dataclasses import replace

import pytest

from scratchgrad.tools.bench.shapes import SHAPES
from scratchgrad.train.bench.job import Settings, measure, prepare_job
from scratchgrad.train.bench.memory import bench_memory
from scratchgrad.train.bench.pictures import draw_sides
from scratchgrad.train.bench.training import WORKERS, Side
from tests.jobs import SCRIPTS

PEAK_OF_A_PROGRAM = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True)
print("peak", resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, "kB")
"""


@pytest.mark.slow
def test_recomputation_takes_less_memory_and_changes_no_bit():
    results = bench_memory(SHAPES["toy"], threads=1, steps=1, say=print, ways=("none", "full"))
    assert results["full"].peak_bytes < 0.8 * results["none"].peak_bytes
    assert results["none"].losses == results["full"].losses


@pytest.mark.slow
def test_recomputation_halves_the_peak_memory_of_a_process_that_trains_a_deep_model_at_least():
    results = bench_memory(SHAPES["deep"], threads=2, steps=1, say=print, ways=("none", "full"))
    assert results["none"].peak_bytes >= 2 * results["full"].peak_bytes
    assert results["none"].losses == results["full"].losses, "bit for bit"


@pytest.mark.slow
def test_a_dry_run_foretells_the_peak_memory(tmp_path, start, recipe):
    wide = ("model.hidden_size=192", "model.intermediate_size=512", "train.context=128", "train.batch_size=32")
    arguments = [recipe, *wide, "train.steps=6", "train.eval_every=3", "train.microbatches=1", "train.warmup_steps=0"]
    dry = start("scratchgrad-train", *arguments, "--dry-run")
    assert dry.end() == 0, dry.output
    foretold = float(re.search(r"memory of a rank +([\d,]+) MB", dry.output)[1].replace(",", ""))
    watched = start(PEAK_OF_A_PROGRAM, SCRIPTS / "scratchgrad-train", *arguments)
    assert watched.end() == 0, watched.output
    measured = float(re.search(r"peak (\d+) kB", watched.output)[1]) * 1024 / 1e6
    assert measured == pytest.approx(foretold, rel=0.15)
    assert measured > 200, "there is more than the program itself"


@pytest.mark.slow
def test_torch_does_the_same_work(tmp_path):
    pytest.importorskip("torch", reason="the extra `bench` is not installed: no PyTorch to compare with")
    few = replace(SHAPES["toy"], batch=4, context=65)
    prepare_job(tmp_path, few, Settings(few.batch, few.context, threads=1, steps=1))
    ours, theirs = (measure(WORKERS[name], tmp_path).losses for name in ("scratchgrad", "torch"))
    assert ours == pytest.approx(theirs, rel=1e-4)


BENCH = """
from scratchgrad.train.bench import job
job.MOST_TRIES = 1  # other tests use the cores, and it would measure again and again
from scratchgrad.train.commands.bench import main
main()
"""


@pytest.mark.slow
def test_the_bench_tells_time_and_memory_and_a_profile_accounts_for_the_whole_step(tmp_path, start):
    arguments = ("--model", "toy", "--steps", 2, "--rounds", 2, "--threads", 1, "--profile", "--json", "figures.json")
    job = start(BENCH, "train", *arguments, "--plot", "profile.png")
    assert job.end(patience=300) == 0, job.output
    assert "round 2/2  scratchgrad: " in job.output
    assert "scaled_dot_product" in job.output
    assert (tmp_path / "profile.png").read_bytes().startswith(b"\x89PNG")
    (side,) = json.loads((tmp_path / "figures.json").read_text())
    assert side["tokens_per_s"] == pytest.approx(16 * 256 / side["seconds"])
    assert side["peak_bytes"] > 50e6
    assert 0 < side["share_of_floor"] < 1
    rows = {(row["name"], row["direction"]): row for row in side["profile"]}
    assert 0.5 < sum(row["seconds"] for row in rows.values()) / side["seconds"] < 2  # other programs may disturb
    assert rows["linear", "backward"]["flops"] == 2 * rows["linear", "forward"]["flops"]
    tokens, layers = 16 * 256, 4
    assert rows["linear", "forward"]["flops"] == 2 * tokens * layers * 4 * 128 * 128
    assert rows["swiglu_feed_forward", "forward"]["flops"] == 2 * tokens * layers * 3 * 128 * 352
    assert rows["linear_cross_entropy", "forward"]["flops"] == 6 * tokens * 2048 * 128
    assert rows["rms_norm", "forward"]["calls"] == rows["rms_norm", "backward"]["calls"] == 9


@pytest.mark.parametrize(("arguments", "words"), [
    (["train", "--model", "gpt9"], "the model 'gpt9' is not known; it is one of stories15M"),
    (["train", "--against", "chainer"], "the peer 'chainer' is not installed here"),
    (["memory", "--model", "gpt9"], "the model 'gpt9' is not known"),
    (["train", "--plot", "bench.jpg"], "--plot 'bench.jpg': the name of a picture is to end in .png, .pdf or .svg"),
])  # fmt: skip
def test_mistakes(call, arguments, words):
    done = call("scratchgrad-bench", *arguments)
    assert done.returncode == 2
    assert words in done.stderr.decode()


@pytest.mark.parametrize(("name", "begins"), [("a.png", b"\x89PNG"), ("a.PDF", b"%PDF"), ("a.svg", b"<?xml")])
def test_a_plot_is_what_its_name_says(tmp_path, name, begins):
    sides = [Side("ours", 0.1, 0.0, 1000.0, 10**6, 10**9, 1e10, 0.5)]
    draw_sides(tmp_path / name, sides, "title")
    assert (tmp_path / name).read_bytes().startswith(begins)
