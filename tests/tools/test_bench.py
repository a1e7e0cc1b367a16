"""The benches that train nothing measure what they say: fresh processes, and the same work on both sides."""

import json
from importlib.util import find_spec

import pytest

from scratchgrad import manual_seed, models
from scratchgrad.tools.bench.shapes import SHAPES
from scratchgrad.tools.generation import SamplingParams, generate


def test_the_bench_of_the_engine(tmp_path, command):
    done = command("scratchgrad-bench", "engine", "--length", 50, "--rounds", 1, "--json", "figures.json")
    assert done.returncode == 0, done.stderr.decode()
    assert 0 < json.loads((tmp_path / "figures.json").read_text())["scratchgrad"] < 0.1


@pytest.mark.slow
def test_the_bench_of_experts(tmp_path, command):
    done = command("scratchgrad-bench", "experts", "--model", "toy", "--steps", 1, "--json", "figures.json")
    assert done.returncode == 0, done.stderr.decode()
    seconds = json.loads((tmp_path / "figures.json").read_text())
    assert seconds.keys() == {"dense", "8 experts, top 2"}
    assert min(seconds.values()) > 0


@pytest.mark.parametrize("peers", ["", pytest.param("torch", marks=pytest.mark.slow)])
def test_the_bench_of_decoding(tmp_path, command, peers):
    if peers:
        pytest.importorskip("torch", reason="the extra `bench` is not installed: no PyTorch to compare with")
    options = ["--model", "toy", "--tokens", 20, "--rounds", 1, "--prompts", "1,3", "--json", "figures.json"]
    done = command("scratchgrad-bench", "decode", *options, "--against", peers)
    assert done.returncode == 0, done.stderr.decode()
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert [result["prompts"] for result in figures if result["system"] == "scratchgrad"] == [1, 3]
    assert len(figures) == (4 if peers else 2)
    assert all(result["tokens_per_s"] > 0 for result in figures)
    assert all(result["bare_per_s"] > 10 for result in figures if result["system"] == "scratchgrad")


def test_torch_writes_the_same_tokens(tmp_path):
    torch = pytest.importorskip("torch", reason="the extra `bench` is not installed: no PyTorch to compare with")
    from scratchgrad.tools.bench import decode_worker, torch_decode_worker

    manual_seed(0)
    model = models.build(models.config_from_dict(SHAPES["toy"].config))
    for parameter in model.parameters():
        parameter.data *= 4  # so that the likeliest token is clear
    models.save(model, tmp_path)
    texts = [[*decode_worker.PROMPT, number] for number in range(2)]
    texts_written = generate(model, texts, SamplingParams(temperature=0, max_tokens=12))
    ours = [list(step) for step in zip(*texts_written, strict=True)]
    theirs = torch_decode_worker.llama(tmp_path, json.loads((tmp_path / "config.json").read_text()))
    with torch.inference_mode():
        caches = [torch.empty(2, 2, layer.groups, 16, layer.width) for layer in theirs.layers]
        ids = torch_decode_worker.next_tokens(theirs, caches, torch.tensor(texts), 0)
        for past, step in enumerate(ours, start=4):
            assert ids.flatten().tolist() == step
            ids = torch_decode_worker.next_tokens(theirs, caches, ids, past) if past < 15 else ids


@pytest.mark.slow
def test_the_bench_of_the_tokenizer(tmp_path, command):
    peers = [name for name in ("tiktoken", "tokenizers") if find_spec(name)]
    (tmp_path / "english.txt").write_text("Größe is a word, and so is size. " * 300)
    words = ["--against", ",".join(peers), "--english", "*.txt", "--megabytes", 0.05, "--vocab-size", 500]
    done = command("scratchgrad-bench", "tokenizer", *words, "--rounds", 1, "--json", "figures.json")
    assert done.returncode == 0, done.stderr.decode()
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
    (["engine", "--against", "chainer"], "the peer 'chainer' is not installed here"),
    (["tokenizer", "--against", "minbpe"], "the peer 'minbpe' is not installed here; known ones: tiktoken, tokenizers"),
    (["tokenizer", "--english", "nothing*.txt"], "no file matches 'nothing*.txt'"),
])  # fmt: skip
def test_mistakes(call, arguments, words):
    done = call("scratchgrad-bench", *arguments)
    assert done.returncode == 2
    assert words in done.stderr.decode()
