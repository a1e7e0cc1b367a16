"""The benches measure what they say: fresh processes, the same work on both sides, and memory that recomputation saves."""

import json
import re
from importlib.util import find_spec

import pytest

from scratchgrad import manual_seed, models
from scratchgrad.tools.generation import Generation
from scratchgrad.tools.sampling import Sampling
from scratchgrad.train.bench.job import Settings, measure, prepare_job
from scratchgrad.train.bench.memory import bench_memory
from scratchgrad.train.bench.shapes import SHAPES
from scratchgrad.train.bench.training import WORKERS
from tests.jobs import SCRIPTS

PEAK_OF_A_PROGRAM = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True)
print("peak", resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, "kB")
"""


def test_recomputation_halves_the_peak_memory_of_a_process_that_trains_a_deep_model_at_least():
    results = bench_memory(SHAPES["deep"], threads=2, steps=1, say=print, ways=("none", "full"))
    assert results["none"].peak_bytes >= 2 * results["full"].peak_bytes
    assert results["none"].losses == results["full"].losses, "bit for bit"


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


def test_torch_does_the_same_work(tmp_path):
    pytest.importorskip("torch", reason="the extra `bench` is not installed: no PyTorch to compare with")
    prepare_job(tmp_path, SHAPES["toy"], Settings(16, 256, threads=2, steps=3))
    ours, theirs = (measure(WORKERS[name], tmp_path).losses for name in ("scratchgrad", "torch"))
    assert ours == pytest.approx(theirs, rel=1e-4)


def test_the_bench_tells_time_and_memory_and_writes_them_down(tmp_path, start):
    job = start("scratchgrad-bench", "train", "--model", "toy", "--steps", 2, "--rounds", 2, "--json", "figures.json")
    assert job.end() == 0, job.output
    assert "round 2/2  scratchgrad: " in job.output
    (side,) = json.loads((tmp_path / "figures.json").read_text())
    assert side["tokens_per_s"] == pytest.approx(16 * 256 / side["seconds"])
    assert side["peak_bytes"] > 50e6
    assert 0 < side["share_of_floor"] < 1


def test_a_profile_accounts_for_the_whole_step(tmp_path, start):
    arguments = ("--model", "toy", "--steps", 3, "--rounds", 1, "--profile", "--json", "figures.json")
    job = start("scratchgrad-bench", "train", *arguments, "--plot", "profile.png")
    assert job.end() == 0, job.output
    assert "scaled_dot_product" in job.output
    assert (tmp_path / "profile.png").read_bytes().startswith(b"\x89PNG")
    (side,) = json.loads((tmp_path / "figures.json").read_text())
    rows = {(row["name"], row["direction"]): row for row in side["profile"]}
    assert 0.5 < sum(row["seconds"] for row in rows.values()) / side["seconds"] < 2  # other programs may disturb
    assert rows["linear", "backward"]["flops"] == 2 * rows["linear", "forward"]["flops"]
    tokens, layers = 16 * 256, 4
    assert rows["linear", "forward"]["flops"] == 2 * tokens * layers * 4 * 128 * 128
    assert rows["swiglu_feed_forward", "forward"]["flops"] == 2 * tokens * layers * 3 * 128 * 352
    assert rows["linear_cross_entropy", "forward"]["flops"] == 6 * tokens * 2048 * 128
    assert rows["rms_norm", "forward"]["calls"] == rows["rms_norm", "backward"]["calls"] == 9


def test_the_bench_of_the_engine(tmp_path, start):
    job = start("scratchgrad-bench", "engine", "--length", 50, "--rounds", 1, "--json", "figures.json")
    assert job.end() == 0, job.output
    assert 0 < json.loads((tmp_path / "figures.json").read_text())["scratchgrad"] < 0.1


def test_the_bench_of_experts(tmp_path, start):
    job = start("scratchgrad-bench", "experts", "--model", "toy", "--steps", 1, "--json", "figures.json")
    assert job.end() == 0, job.output
    seconds = json.loads((tmp_path / "figures.json").read_text())
    assert seconds.keys() == {"dense", "8 experts, top 2"}
    assert min(seconds.values()) > 0


def test_the_bench_of_decoding(tmp_path, start):
    options = ["--model", "toy", "--tokens", 20, "--rounds", 1, "--prompts", "1,3", "--json", "figures.json"]
    job = start("scratchgrad-bench", "decode", *options, *(["--against", "torch"] if find_spec("torch") else []))
    assert job.end() == 0, job.output
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert [result["prompts"] for result in figures if result["system"] == "scratchgrad"] == [1, 3]
    assert all(result["tokens_per_s"] > 0 for result in figures)
    assert all(result["bare_per_s"] > 10 for result in figures if result["system"] == "scratchgrad")


def test_torch_writes_the_same_tokens(tmp_path):
    torch = pytest.importorskip("torch", reason="the extra `bench` is not installed: no PyTorch to compare with")
    from scratchgrad.train.bench import decode_worker, torch_decode_worker

    manual_seed(0)
    model = models.build(models.config_from_dict(SHAPES["toy"].config))
    for parameter in model.parameters():
        parameter.data *= 4  # so that the likeliest token is clear
    models.save(model, tmp_path)
    texts = [[*decode_worker.PROMPT, number] for number in range(2)]
    ours = [[token.id for token in step] for step in Generation(model, texts, 12, Sampling(temperature=0))]
    theirs = torch_decode_worker.llama(tmp_path, json.loads((tmp_path / "config.json").read_text()))
    with torch.inference_mode():
        caches = [torch.empty(2, 2, layer.groups, 16, layer.width) for layer in theirs.layers]
        ids = torch_decode_worker.next_tokens(theirs, caches, torch.tensor(texts), 0)
        for past, step in enumerate(ours, start=4):
            assert ids.flatten().tolist() == step
            ids = torch_decode_worker.next_tokens(theirs, caches, ids, past) if past < 15 else ids


def test_the_bench_of_the_tokenizer(tmp_path, start):
    peers = [name for name in ("tiktoken", "tokenizers") if find_spec(name)]
    (tmp_path / "english.txt").write_text("Größe is a word, and so is size. " * 300)
    words = ["--against", ",".join(peers), "--english", "*.txt", "--megabytes", 0.05, "--vocab-size", 500]
    job = start("scratchgrad-bench", "tokenizer", *words, "--rounds", 1, "--json", "figures.json")
    assert job.end() == 0, job.output
    rows = json.loads((tmp_path / "figures.json").read_text())
    titles = [f"{row['task']} {row['text']}" for row in rows]
    assert titles[-3:] == ["train English", "encode English", "encode 100,000 x a"]
    assert {"train code, ASCII", "train English, ASCII"} < set(titles)
    for row in rows:
        assert set(row["seconds"]) == {"scratchgrad", *peers} - ({"tiktoken"} if row["task"] == "train" else set())


@pytest.mark.parametrize(("arguments", "words"), [
    (["decode", "--prompts", "1,many"], "--prompts '1,many' is not a list of numbers from 1 on"),
    (["decode", "--tokens", "300"], "--tokens 300 is too long for stories15M, whose context is 256"),
    (["experts", "--experts", "2", "--per-token", "3"], "model.num_experts_per_tok = 3 is more than model.num_local_experts = 2"),
    (["train", "--model", "gpt9"], "the model 'gpt9' is not known; it is one of stories15M"),
    (["train", "--against", "chainer"], "the peer 'chainer' is not installed here"),
    (["engine", "--against", "chainer"], "the peer 'chainer' is not installed here"),
    (["tokenizer", "--against", "minbpe"], "the peer 'minbpe' is not installed here; known ones: tiktoken, tokenizers"),
    (["tokenizer", "--english", "nothing*.txt"], "no file matches 'nothing*.txt'"),
    (["memory", "--model", "gpt9"], "the model 'gpt9' is not known"),
])  # fmt: skip
def test_mistakes(start, arguments, words):
    job = start("scratchgrad-bench", *arguments)
    assert job.end() == 2
    assert words in job.output
    assert "Traceback" not in job.output
