"""Models to begin from, and runs that do, in this process."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from scratchgrad import manual_seed, models
from scratchgrad.models import Model
from scratchgrad.tools import tokenizer as tokenizers
from scratchgrad.tools.tokenizer import Tokenizer
from scratchgrad.train.commands.train import main
from scratchgrad.train.objectives import objectives
from tests.train.objectives.small import ARCHITECTURES, tokenizer_for
from tests.train.test_architectures import write_data

UNTIED = {"LlamaForCausalLM", "GPT2LMHeadModel", "MixtralForCausalLM", "T5ForConditionalGeneration"}


def write_source(folder: Path, architecture: str, tokenizer: Tokenizer | None = None, **changes: Any) -> Model:
    """A model directory of fresh weights, with the tokenizer of its own objective; output layers are untied."""
    values, objective = ARCHITECTURES[architecture]
    tokenizer = tokenizer or tokenizer_for(objectives()[objective])
    sizes = {"vocab_size": tokenizer.vocab_size, "max_position_embeddings": 64}
    if "pad_token_id" in models.family_of(values["model_type"], [architecture]).config_class.model_fields:
        sizes["pad_token_id"] = tokenizer.padding
    untied = {"tie_word_embeddings": False} if architecture in UNTIED else {}
    config = models.config_from_dict({**sizes, **values, **untied, **changes, "architectures": [architecture]})
    manual_seed(11)
    model = models.build(config, architectures=[architecture])
    models.save(model, folder)
    tokenizers.save(tokenizer, folder)
    return model


def write_recipe(folder: Path, source: Path, objective: str, **sections: dict[str, Any]) -> Path:
    """recipe.yaml in `folder`, three steps of an objective from a model; with its data."""
    (folder / "data").mkdir(exist_ok=True)
    files = write_data(folder / "data", objective)
    recipe = {
        "data": {"source": "files", "files": [files], "validation": 0.1, "cache_dir": str(folder / "cache")},
        "train": {
            "init_from": str(source), "objective": objective, "steps": 3, "batch_size": 4, "context": 32,
            "microbatches": 2, "dropout": 0.1, "eval_every": 3, "eval_tokens": 200, "threads": 1,
        },
        "checkpoint": {"every_steps": 2, "keep_last": 9},
        "log": {"run_dir": str(folder / "run")},
    }  # fmt: skip
    for name, section in sections.items():
        recipe[name] = {**recipe.get(name, {}), **section}
    (folder / "recipe.yaml").write_text(json.dumps(recipe))
    return folder / "recipe.yaml"


def train(*arguments: object) -> str:
    """What scratchgrad-train says; it must succeed."""
    done = CliRunner().invoke(main, list(map(str, arguments)), catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def refused(*arguments: object) -> str:
    """The one short sentence by which scratchgrad-train refuses."""
    done = CliRunner().invoke(main, list(map(str, arguments)), catch_exceptions=False)
    assert done.exit_code == 2, done.output
    (line,) = [line for line in done.output.splitlines() if line.startswith("Error: ")]
    return line


def resumed(run: Path, *arguments: object) -> Path:
    """A copy of a run of three steps that went on from its second."""
    copy = run.with_name("resumed")
    shutil.copytree(run, copy)
    shutil.rmtree(copy / "checkpoints" / "step-3")
    train("--resume", copy, *arguments)
    return copy


def weights(run: Path, step: int = 3) -> dict[str, bytes]:
    """The files of a checkpoint that hold numbers."""
    folder = run / "checkpoints" / f"step-{step}"
    return {name: (folder / name).read_bytes() for name in ("model.safetensors", "optimizer.safetensors")}
