"""Runs that train an adapter: what they train, what their checkpoints hold, and that they go on with the same bits."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from scratchgrad import models
from scratchgrad.files import map_tensors, read_json
from scratchgrad.models.adapters import is_adapted
from scratchgrad.tools.loading import read_model
from tests.jobs import MPIRUN, SCRIPTS, Job
from tests.models.adapters_models import bits
from tests.pages import blocks, file_on, printed
from tests.train.fine_tuning import refused, resumed, train, write_recipe, write_source

# architecture of the source, objective, and layers
RUNS = {
    "LlamaForCausalLM": ("causal_lm", ["all-linear"]),
    "GPT2LMHeadModel": ("causal_lm", ["c_attn", "c_fc"]),
    "MixtralForCausalLM": ("causal_lm", ["q_proj", "w1", "w3"]),
    "T5ForConditionalGeneration": ("span_corruption", ["q", "v", "wo"]),
    "BertForMaskedLM": ("sequence_classification", ["query", "value"]),
}


def lora_recipe(folder: Path, architecture: str, **adapter: object) -> Path:
    objective, targets = RUNS[architecture]
    write_source(folder / "source", architecture)
    labels = {"model": {"id2label": {"0": "bad", "1": "fair", "2": "good"}}} if "classification" in objective else {}
    section = {"kind": "lora", "rank": 4, "dropout": 0.1, "targets": targets, **adapter}
    return write_recipe(folder, folder / "source", objective, adapter=section, **labels)


def numbers(run: Path, step: int = 3) -> dict[str, bytes]:
    folder = run / "checkpoints" / f"step-{step}"
    return {name: (folder / name).read_bytes() for name in ("adapter_model.safetensors", "optimizer.safetensors")}


@pytest.mark.parametrize("architecture", RUNS)
def test_a_run_trains_and_keeps_the_adapter_alone_and_goes_on_with_the_same_bits(architecture, tmp_path):
    use_dora = architecture != "MixtralForCausalLM"
    told = train(lora_recipe(tmp_path, architecture, use_dora=use_dora))
    run, source = tmp_path / "run", models.load(tmp_path / "source")
    checkpoint = run / "checkpoints" / "step-3"
    assert "of them trained)" in told
    assert not (checkpoint / "model.safetensors").exists()

    adapter, state = (
        map_tensors(checkpoint / "adapter_model.safetensors"),
        map_tensors(checkpoint / "optimizer.safetensors"),
    )
    trained = sum(array.size for array in adapter.values())
    assert sum(array.size for array in state.values() if array.size > 1) <= 2 * trained + 100
    assert any(np.abs(array).max() > 0 for name, array in adapter.items() if name.endswith("lora_B.weight"))
    heads = {name for name in adapter if "lora" not in name}
    prefix = "base_model.model."
    expected = {f"{prefix}{name}" for name in (
        "bert.pooler.dense.weight", "bert.pooler.dense.bias", "classifier.weight", "classifier.bias",
    )}  # fmt: skip
    assert heads == (expected if architecture == "BertForMaskedLM" else set())
    assert read_json(checkpoint / "adapter_config.json")["base_model_name_or_path"] == str(tmp_path / "source")

    model, _ = read_model(checkpoint)
    assert is_adapted(model)
    kept = model.state_dict()
    same = {name: array for name, array in source.state_dict().items() if name in kept}
    assert bits({name: kept[name] for name in same}) == bits(same)

    again = resumed(run)
    assert numbers(again) == numbers(run)


def test_two_ranks_train_the_bits_that_one_trains(tmp_path):
    recipe = lora_recipe(tmp_path, "LlamaForCausalLM", use_dora=True)
    train(recipe)
    words = [MPIRUN, "-n", 2, SCRIPTS / "scratchgrad-train", recipe, f"log.run_dir={tmp_path / 'ranks'}"]
    job = Job(list(map(str, words)), tmp_path, {})
    try:
        assert job.end() == 0, job.output
    finally:
        job.kill()
    assert numbers(tmp_path / "ranks") == numbers(tmp_path / "run")


def test_a_run_is_sampled_from_and_merged(call, tmp_path):
    train(lora_recipe(tmp_path, "LlamaForCausalLM"))
    done = call("scratchgrad-sample", "--run", tmp_path / "run", "--max-tokens", 4, "--temperature", 0)
    assert done.returncode == 0, done.stderr
    done = call("scratchgrad-convert", tmp_path / "run", "merged", "--to", "hf")
    assert done.returncode == 0, done.stderr
    merged = call("scratchgrad-sample", "--model", "merged", "--max-tokens", 4, "--temperature", 0)
    assert (
        merged.stdout
        == call("scratchgrad-sample", "--adapter", tmp_path / "run", "--max-tokens", 4, "--temperature", 0).stdout
    )
    shutil.rmtree(tmp_path / "source")
    done = call("scratchgrad-sample", "--run", tmp_path / "run")
    assert done.returncode == 2
    assert b"which is not there: give a model with the same weights" in done.stderr


def test_a_changed_base_is_noticed_on_resume(tmp_path):
    train(lora_recipe(tmp_path, "LlamaForCausalLM"))
    model = models.load(tmp_path / "source")
    model.decoder.norm.weight.data[0] += 1
    models.save(model, tmp_path / "source")
    shutil.rmtree(tmp_path / "run" / "checkpoints" / "step-3")
    assert "was trained beside other weights than those" in refused("--resume", tmp_path / "run")


@pytest.mark.parametrize(
    ("sections", "words"),
    [
        ({"adapter": {"targets": ["q_prj"]}}, "did you mean q_proj?"),
        ({"adapter": {"targets": []}}, "adapter.targets = []"),
        ({"adapter": {"kind": "lore"}}, "adapter.kind"),
        ({"adapter": {"rank": 0}}, "adapter.rank"),
        ({"adapter": {"kind": "none"}}, "adapter has values and adapter.kind = none; give adapter.kind = lora, too"),
        ({"train": {"trainable": "head"}}, "adapter.kind = lora chooses what is trained: leave train.trainable out"),
        (
            {"tokenizer": {"add_tokens": ["<|new|>"]}},
            "the tokenizer has new tokens, whose rows an adapter does not hold",
        ),
    ],
)
def test_what_does_not_go_together_is_told_in_a_sentence(sections, words, tmp_path):
    recipe = lora_recipe(tmp_path, "LlamaForCausalLM")
    values = json.loads(recipe.read_text())
    for name, section in sections.items():
        values[name] = {**values.get(name, {}), **section}
    recipe.write_text(json.dumps(values))
    assert words in refused(recipe)


def test_an_adapter_needs_a_model_and_a_new_head_that_is_trained(tmp_path):
    assert "give train.init_from" in refused("toy.yaml", "adapter.kind=lora")
    recipe = lora_recipe(tmp_path, "BertForMaskedLM", modules_to_save=["classifier"])
    assert "'bert.pooler.dense.weight' is drawn anew, and adapter.kind = lora does not train it" in refused(recipe)


def test_a_run_does_not_begin_from_an_adapter(tmp_path):
    train(lora_recipe(tmp_path, "LlamaForCausalLM"))
    recipe = write_recipe(tmp_path, tmp_path / "run", "causal_lm", log={"run_dir": str(tmp_path / "second")})
    assert "holds an adapter; merge it into a model first: scratchgrad-convert" in refused(recipe)


def test_the_page_on_fine_tuning_runs(call, tmp_path):
    write_source(tmp_path / "toy-hf", "LlamaForCausalLM")
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "a.txt").write_text("the cat sat on the mat\n" * 400)
    (tmp_path / "lora.yaml").write_text(file_on("docs/fine-tuning.md", "lora.yaml"))
    (commands,) = [b.text for b in blocks("docs/fine-tuning.md") if b.language == "sh" and "--merge" in b.text]
    for line in commands.splitlines():
        words = line.partition("#")[0].split()
        small = {"scratchgrad-train": ["train.steps=2", "train.context=16"], "scratchgrad-sample": ["--max-tokens", 2]}
        done = call(*words, *small.get(words[0], []))
        assert done.returncode == 0, done.stderr
    (code,) = [b.text for b in blocks("docs/fine-tuning.md") if b.language == "python" and "adapters" in b.text]
    assert printed(code, tmp_path / "page.py", {}).endswith("% of the parameters\n")
