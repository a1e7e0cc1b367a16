"""Every architecture is trained by a recipe: 20 steps on small data, and the loss falls."""

import json
import math

import numpy as np
import pytest
from click.testing import CliRunner

from scratchgrad import models
from scratchgrad.train import metrics
from scratchgrad.train.commands.train import main
from tests.train.objectives.small import ARCHITECTURES, examples, sentence

BPB = {"LlamaForCausalLM", "GPT2LMHeadModel", "MixtralForCausalLM"}
SCORES = {
    "masked_lm": {"val_masked_accuracy"},
    "masked_lm_next_sentence": {"val_masked_accuracy", "val_next_sentence_accuracy"},
    "span_corruption": {"val_token_accuracy"},
    "seq2seq": {"val_token_accuracy"},
    "sequence_classification": {"val_accuracy"},
    "token_classification": {"val_accuracy"},
    "question_answering": {"val_exact_match"},
    "causal_lm": set(),
}


def write_data(folder, objective: str) -> str:
    """Examples of the objective's fields as .jsonl, text as .txt; the glob of the files."""
    rng = np.random.default_rng(0)
    if examples(objective)[0].fields.keys() == {"text"}:
        for number in range(40):
            (folder / f"{number}.txt").write_text("\n".join(sentence(rng, 8) for _ in range(20)))
        return f"{folder}/*.txt"
    lines = (json.dumps(dict(example.fields)) for example in examples(objective, 400))
    (folder / "data.jsonl").write_text("\n".join(lines))
    return f"{folder}/*.jsonl"


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_twenty_steps(architecture, tmp_path, monkeypatch):
    config, objective = ARCHITECTURES[architecture]
    (tmp_path / "data").mkdir()
    files = write_data(tmp_path / "data", objective)
    recipe = {
        "model": {**config, "architectures": [architecture]},
        "tokenizer": {"vocab_size": 400},
        "data": {"source": "files", "files": [files], "validation": 0.1, "cache_dir": str(tmp_path / "cache")},
        "train": {
            "steps": 20, "batch_size": 16, "context": 48, "microbatches": 2, "learning_rate": 1e-2, "warmup_steps": 2,
            "schedule": "constant", "eval_every": 10, "eval_tokens": 2000, "threads": 1,
        },
        "log": {"run_dir": str(tmp_path / "run")},
    }  # fmt: skip
    (tmp_path / "recipe.yaml").write_text(json.dumps(recipe))
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(main, ["recipe.yaml"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    rows = metrics.read(tmp_path / "run" / "metrics.jsonl")
    losses = [row["loss"] for row in rows]
    assert np.mean(losses[-4:]) < 0.95 * np.mean(losses[:2]), losses
    last = rows[-1]
    assert {name for name in last if name.startswith("val_")} - {"val_loss", "val_bpb"} == SCORES[objective]
    assert ("val_bpb" in last) == (architecture in BPB)
    assert all(math.isfinite(last[name]) for name in last if name.startswith("val_"))
    trained = models.load(tmp_path / "run" / "checkpoints" / "step-20")
    assert trained.architecture == architecture
    assert last["tokens"] >= 20 * 16 * 5
