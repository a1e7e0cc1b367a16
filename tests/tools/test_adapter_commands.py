"""Text from a model with an adapter, adapters merged by scratchgrad-convert, and what is said to mistakes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from scratchgrad import Tensor, models, no_grad, set_precision
from scratchgrad.models import Decoder
from scratchgrad.models.adapters import AdapterConfig, adapt, load_adapter, merge, remove_adapter, save_adapter, unmerge
from scratchgrad.tools.generation.model import decode, generating, notice_new_weights, prefill
from tests.models.adapters_models import bits, build, disturb, logits
from tests.tools.test_commands import make_run, mistake


@pytest.fixture(scope="module")
def adapter_folder(tmp_path_factory: pytest.TempPathFactory, model_folder: Path) -> Path:
    """Of an adapter that changes what the model of `model_folder` writes, and names that model."""
    folder = tmp_path_factory.mktemp("adapter")
    model = disturb(adapt(models.load(model_folder), AdapterConfig(rank=4, dropout=0.2)), std=0.3)
    save_adapter(model, folder, base_model=str(model_folder))
    return folder


def written(call, *arguments) -> str:
    done = call("scratchgrad-sample", "--temperature", 0, "--max-tokens", 12, "--prompt", "the", *arguments)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode()


def test_text_is_that_of_the_merged_model(call, model_folder, adapter_folder, tmp_path):
    plain = written(call, "--model", model_folder)
    text = written(call, "--model", model_folder, "--adapter", adapter_folder)
    assert text != plain
    assert written(call, "--adapter", adapter_folder) == written(call, "--model", adapter_folder) == text

    done = call("scratchgrad-convert", model_folder, "merged", "--to", "hf", "--merge", adapter_folder)
    assert (done.returncode, done.stdout) == (0, b"merged\n")
    told = done.stderr.decode()
    assert told.startswith("the adapter was merged in float32: logits differ by at most ")
    assert float(told.split("at most ")[1].split(" ")[0]) < 1e-5
    assert written(call, "--model", "merged") == text
    expected = load_adapter(models.load(model_folder), adapter_folder)
    merge(expected)
    assert bits(models.load("merged").state_dict()) == bits(remove_adapter(expected).state_dict())

    done = call("scratchgrad-convert", adapter_folder, "same", "--to", "hf")  # with the model that it names
    assert done.returncode == 0, done.stderr
    assert Path("same/model.safetensors").read_bytes() == Path("merged/model.safetensors").read_bytes()
    assert Path("same/tokenizer.json").exists()


def test_an_adapter_of_a_run_is_that_of_its_newest_checkpoint(call, model_folder, adapter_folder, tmp_path):
    run = make_run(tmp_path, "lora-001", adapter_folder, steps=(1, 2))
    text = written(call, "--adapter", adapter_folder)
    assert written(call, "--adapter", run) == text
    assert written(call, "--run", run) == text
    assert written(call, "--model", model_folder, "--adapter", run / "checkpoints" / "step-1") == text


FAULTS = {
    "nowhere": (["--adapter", "nowhere"], "'nowhere' does not exist"),
    "no adapter": (["--adapter", "whole"], "'whole' holds a whole model and no adapter: it is a --model, or SRC"),
    "of another model": (
        ["--model", "other", "--adapter", "adapter"],
        "does not fit a LlamaForCausalLM of these sizes",
    ),
    "of other weights": (["--model", "changed", "--adapter", "adapter"], "was trained beside other weights than those"),
    "lost base": (["--adapter", "lost"], "belongs to the model 'meta-llama/Llama-3.2-1B', which is not there"),
    "nameless base": (["--adapter", "nameless"], "does not name its model: give the model, and --adapter nameless"),
    "upon another": (["--adapter", "upon"], "stands beside another one, 'adapter': merge that into a model first"),
    "twice": (["--model", "adapter", "--adapter", "adapter"], "has an adapter already"),
    "damaged": (["--adapter", "damaged"], "Error: 'damaged/adapter_model.safetensors'"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_mistakes_are_told_in_a_sentence(fault, call, model_folder, adapter_folder, tmp_path):
    shutil.copytree(model_folder, "whole")
    shutil.copytree(adapter_folder, "adapter")
    models.save(build("llama", vocab_size=300), "other")
    model = models.load(model_folder)
    model.lm_head.weight.data[0] += 1
    models.save(model, "changed")
    config = json.loads(Path("adapter/adapter_config.json").read_text())
    bases = {"lost": "meta-llama/Llama-3.2-1B", "nameless": None, "upon": "adapter", "damaged": str(model_folder)}
    for name, base in bases.items():
        shutil.copytree("adapter", name)
        Path(name, "adapter_config.json").write_text(json.dumps({**config, "base_model_name_or_path": base}))
    Path("damaged/adapter_model.safetensors").write_bytes(b"x" * 100)
    arguments, words = FAULTS[fault]
    tokenizer = ["--tokenizer", model_folder / "tokenizer.json"]
    told = mistake(call("scratchgrad-sample", *arguments, *tokenizer))
    assert words in told
    assert len([line for line in told.splitlines() if line.startswith("Error: ")]) == 1


def test_a_conversion_tells_an_adapter_that_does_not_fit_and_writes_nothing(call, model_folder, adapter_folder):
    models.save(build("llama", vocab_size=300), "other")
    told = mistake(call("scratchgrad-convert", "other", "merged", "--to", "hf", "--merge", adapter_folder))
    assert "does not fit a LlamaForCausalLM of these sizes" in told
    told = mistake(call("scratchgrad-convert", "--inspect", "other", "--merge", adapter_folder))
    assert "--inspect looks, and converts nothing" in told
    assert not Path("merged").exists()


@pytest.mark.parametrize("precision", ["float32", "bf16"])
@pytest.mark.parametrize("use_dora", [False, True])
def test_decoding_follows_the_weights_through_training_merging_and_removal(precision, use_dora):
    """With its cache of keys and of packed weights: the logits are those of the text read at once."""
    set_precision(precision)
    try:
        model = build("llama", vocab_size=64, hidden_size=64, intermediate_size=128)
        assert isinstance(model, Decoder)
        prompt, tokens = list(range(1, 20)), [5, 9, 3]

        def decoded() -> np.ndarray:
            with generating(model):
                notice_new_weights(model)
                first, cache = prefill(model, prompt)
                return np.concatenate([first, *(decode(model, [token], cache)[0] for token in tokens)])

        def at_once() -> np.ndarray:
            with no_grad():
                out = model(Tensor(np.array([[*prompt, *tokens]]))).numpy()[0]
            return out[len(prompt) - 1 :].ravel()

        close = 1e-5 if precision == "float32" else 2e-2
        states = [decoded()]
        for change in (
            lambda: adapt(model, AdapterConfig(rank=4, targets=["all-linear", "lm_head"], use_dora=use_dora)),
            lambda: disturb(model, std=0.2),
            lambda: disturb(model, seed=2, std=0.2),
            lambda: merge(model),
            lambda: unmerge(model),
            lambda: remove_adapter(model),
        ):
            change()
            states.append(decoded())
            np.testing.assert_allclose(states[-1], at_once(), rtol=0, atol=close * max(1, abs(states[-1]).max()))
        begun, adapted, once, twice, merged, unmerged, removed = states
        assert begun.tobytes() == adapted.tobytes() == removed.tobytes()
        assert twice.tobytes() == unmerged.tobytes()
        assert abs(once - begun).max() > 0.05
        assert abs(twice - once).max() > 0.05
        if precision == "float32":  # a sum has other roundings to bf16 than its parts
            np.testing.assert_allclose(merged, twice, rtol=0, atol=close * max(1, abs(twice).max()))
    finally:
        set_precision("float32")


def test_a_row_has_the_bits_that_it_has_alone():
    model = disturb(adapt(build("llama"), AdapterConfig(rank=4, targets=["all-linear", "lm_head"], use_dora=True)))
    with generating(model):
        notice_new_weights(model)
        alone = []
        for prompt in ([1, 2, 3], [7, 8, 9, 10, 11]):
            _, cache = prefill(model, prompt)
            alone.append(decode(model, [4], cache)[0].tobytes())
        _, cache = prefill(model, [1, 2, 3])
        cache.extend(prefill(model, [7, 8, 9, 10, 11])[1])
        assert [row.tobytes() for row in decode(model, [4, 4], cache)] == alone
    assert len(logits(model))
