"""What is counted: tokens of text, in metrics, epochs and evaluations alike, of one source and of several."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from scratchgrad.train import metrics
from scratchgrad.train.batches import in_full_batches
from scratchgrad.train.commands.train import main
from scratchgrad.train.data import build_batches, build_objective, build_validation, prepare_data
from scratchgrad.train.recipe_files import build_recipe
from tests.train.objectives.small import ARCHITECTURES, examples, sentence


@pytest.fixture
def texts(tmp_path, monkeypatch):
    """Two folders of text, and a way to write a recipe on them."""
    rng = np.random.default_rng(0)
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        for number in range(30):
            (tmp_path / folder / f"{number}.txt").write_text("\n".join(sentence(rng, 8) for _ in range(20)))
    lines = (json.dumps(dict(example.fields)) for example in examples("seq2seq", 300))
    (tmp_path / "pairs.jsonl").write_text("\n".join(lines))
    monkeypatch.chdir(tmp_path)


def recipe(architecture: str, **sections):
    return {
        "model": {**ARCHITECTURES[architecture][0], "architectures": [architecture]},
        "tokenizer": {"vocab_size": 400},
        "data": {"source": "files", "files": ["one/*.txt"], "validation": 0.2, **sections.get("data", {})},
        "train": {"steps": 3, "batch_size": 8, "context": 32, "microbatches": 2, "eval_tokens": 1000, "threads": 1},
        "log": {"run_dir": "run"},
    }


@pytest.mark.parametrize(("architecture", "of_a_row"), [
    ("LlamaForCausalLM", 32), ("BertForMaskedLM", 30), ("BertForPreTraining", 29),
])  # fmt: skip
def test_tokens_are_those_of_the_text_however_many_are_targets(texts, architecture, of_a_row):
    values = recipe(architecture)
    Path("r.yaml").write_text(json.dumps(values))
    done = CliRunner().invoke(main, ["r.yaml"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert [row["tokens"] for row in metrics.read(Path("run/metrics.jsonl"))] == [
        8 * of_a_row * step for step in (1, 2, 3)
    ]
    dry = CliRunner().invoke(main, ["r.yaml", "train.steps=1000", "--dry-run"], catch_exceptions=False).output
    told = {name: int(number.replace(",", "")) for name, number in re.findall(r"^(\w[\w ]+?)  +([\d,]+)", dry, re.M)}
    assert told["tokens of the run"] == 1000 * 8 * of_a_row
    epochs = float(re.search(r"([\d.]+) epochs", dry)[1])
    assert epochs == pytest.approx(told["tokens of the run"] / told["training text"], rel=0.05)


@pytest.mark.parametrize("architecture", ["LlamaForCausalLM", "BertForPreTraining", "Transformer"])
def test_an_evaluation_reads_so_many_tokens_of_text(texts, architecture):
    data = {"files": ["pairs.jsonl"]} if architecture == "Transformer" else {}
    built = build_recipe(recipe(architecture, data=data), "r")
    prepared = prepare_data(built, lambda _: None)
    objective = build_objective(built, prepared.tokenizer)
    validation = build_validation(built, objective, prepared)
    rows = objective.batches(prepared.validation, built.data.weights)
    count = len(rows.sample(1000)["input_ids"])
    tokens = rows.num_tokens(range(count))
    assert tokens == pytest.approx(min(1000, len(prepared.validation[0].tokens)), rel=0.15)
    assert len(validation.batches) == -(-count // 8)
    targets = np.concatenate([batch["targets"].ravel() for batch in validation.batches])
    text = prepared.tokenizer.decode(targets[targets >= 0].tolist())
    wanted = len(text.replace("<|endoftext|>", "").encode()) if architecture == "LlamaForCausalLM" else None
    assert validation.text_bytes == wanted
    assert len(in_full_batches(rows.sample(1000), 8, objective.batch_fields)) == len(validation.batches)


def test_several_sources_are_trained_on_in_the_ratio_of_their_weights(texts):
    values = recipe("LlamaForCausalLM")
    sources = [
        {"source": "files", "files": [f"{name}/*.txt"], "weight": weight}
        for name, weight in (("one", 3.0), ("two", 1.0))
    ]
    values["data"] = {"sources": sources, "validation": 0.2}
    Path("r.yaml").write_text(json.dumps(values))
    done = CliRunner().invoke(main, ["r.yaml"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    dry = CliRunner().invoke(main, ["r.yaml", "train.steps=300", "--dry-run"], catch_exceptions=False).output
    first, second = (float(times) for times in re.search(r"([\d.]+), ([\d.]+) epochs", dry).groups())
    assert first == pytest.approx(3 * second, rel=0.1)
    built = build_recipe(values, "r")
    prepared = prepare_data(built, lambda _: None)
    batches = build_batches(built, build_objective(built, prepared.tokenizer), prepared)
    rows, of_first = batches.rows(range(400))["input_ids"], prepared.train[0].tokens.astype(np.int64).tobytes()
    assert sum(row.astype(np.int64).tobytes() in of_first for row in rows) == 300
