"""Adapters on disk: PEFT's names, every trained tensor, and a sentence for each way in which a file does not fit."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scratchgrad import models
from scratchgrad.errors import UserError
from scratchgrad.files import map_tensors, write_tensors
from scratchgrad.models import Model
from scratchgrad.models.adapters import (
    AdapterConfig,
    adapt,
    adapted_layers,
    adapter_parameters,
    load_adapter,
    save_adapter,
)
from tests.models.adapters_models import FAMILIES, bits, build, disturb, logits

EVERY_LAYER = {
    "llama": ("all-linear", "embed_tokens", "lm_head"),
    "gpt2": ("all-linear", "wpe"),
    "bert": ("all-linear", "token_type_embeddings"),
    "bert-classifier": ("all-linear", "word_embeddings"),
    "t5": ("all-linear", "shared", "lm_head", "relative_attention_bias"),
    "t5-classifier": ("all-linear",),
    "transformer": ("all-linear",),
    "mixtral": ("all-linear", "embed_tokens"),
    "llama-classifier": ("all-linear", "embed_tokens"),
}


def with_new_head(model: Model) -> Model:
    """As one that a base model is loaded into: the head is another each time."""
    for name, parameter in model.named_parameters():
        if name.startswith(("classifier.", "score.", "classification_head.")):
            parameter.data = parameter.data + np.float32(1)
    return model


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("use_dora", [False, True])
def test_what_is_saved_comes_back_with_its_bits_heads_too(name: str, use_dora: bool, tmp_path: Path) -> None:
    config = AdapterConfig(rank=3, targets=EVERY_LAYER[name], use_dora=use_dora and name != "mixtral", use_rslora=True)
    model = disturb(adapt(build(name), config))
    save_adapter(model, tmp_path, base_model="base")
    stored = map_tensors(tmp_path / "adapter_model.safetensors")
    assert sum(a.size for a in stored.values()) == sum(p.size for _, p in adapter_parameters(model))

    again = load_adapter(with_new_head(build(name)), tmp_path)
    assert bits(again.state_dict()) == bits(model.state_dict())
    assert logits(again).tobytes() == logits(model).tobytes()
    assert not list(adapter_parameters(again))
    save_adapter(again, tmp_path / "again", base_model="base")
    for file in ("adapter_model.safetensors", "adapter_config.json"):
        assert (tmp_path / "again" / file).read_bytes() == (tmp_path / file).read_bytes()
    trainable = load_adapter(build(name), tmp_path, is_trainable=True)
    assert [key for key, _ in adapter_parameters(trainable)] == [key for key, _ in adapter_parameters(model)]


def test_names_and_config_are_those_of_peft(tmp_path: Path) -> None:
    """As PEFT 0.21 writes them for the same model."""
    config = AdapterConfig(
        rank=4, alpha=8, targets=("q_proj", "embed_tokens", "model.layers.0.mlp.gate_proj"), use_dora=True
    )
    save_adapter(adapt(build("llama", num_hidden_layers=2), config), tmp_path, base_model="somewhere")
    shapes = {name: array.shape for name, array in map_tensors(tmp_path / "adapter_model.safetensors").items()}
    layer = "base_model.model.model.layers.{}.self_attn.q_proj"
    embedding, gate = "base_model.model.model.embed_tokens", "base_model.model.model.layers.0.mlp.gate_proj"
    assert shapes == {
        f"{embedding}.lora_embedding_A": (4, 61),
        f"{embedding}.lora_embedding_B": (32, 4),
        f"{embedding}.lora_magnitude_vector": (32,),
        f"{gate}.lora_A.weight": (4, 32),
        f"{gate}.lora_B.weight": (48, 4),
        f"{gate}.lora_magnitude_vector": (48,),
        **{f"{layer.format(i)}.lora_A.weight": (4, 32) for i in range(2)},
        **{f"{layer.format(i)}.lora_B.weight": (32, 4) for i in range(2)},
        **{f"{layer.format(i)}.lora_magnitude_vector": (32,) for i in range(2)},
    }
    told = json.loads((tmp_path / "adapter_config.json").read_text())
    assert told["target_modules"] == ["embed_tokens", "model.layers.0.mlp.gate_proj", "q_proj"]
    expected = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "r": 4,
        "lora_alpha": 8,
        "use_dora": True,
        "bias": "none",
    }
    assert expected.items() <= told.items()
    assert told["base_model_name_or_path"] == "somewhere"


def changed_config(folder: Path, **values: Any) -> None:
    path = folder / "adapter_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def changed_tensors(folder: Path, change: Any) -> None:
    path = folder / "adapter_model.safetensors"
    arrays = {name: array.copy() for name, array in map_tensors(path).items()}
    change(arrays)
    write_tensors(path, arrays)


LAYER = "base_model.model.model.layers.0.self_attn.q_proj"
FAULTS: dict[str, tuple[Any, str]] = {
    "no folder": (lambda f: (f / "adapter_config.json").unlink(), r"is no adapter's folder"),
    "no weights": (lambda f: (f / "adapter_model.safetensors").unlink(), r"adapter_model.safetensors' does not exist"),
    "pickled": (
        lambda f: (f / "adapter_model.safetensors").rename(f / "adapter_model.bin"),
        r"'adapter_model.bin', which is there, is pickled",
    ),
    "another method": (lambda f: changed_config(f, peft_type="IA3"), r"peft_type 'IA3': only LORA is supported"),
    "a bias": (lambda f: changed_config(f, bias="all"), r"bias = 'all', which is not supported"),
    "ranks by pattern": (lambda f: changed_config(f, rank_pattern={"q_proj": 2}), r"rank_pattern .* not supported"),
    "pissa": (lambda f: changed_config(f, init_lora_weights="pissa"), r"init_lora_weights = 'pissa'"),
    "no targets": (lambda f: changed_config(f, target_modules=[]), r"names no layers"),
    "a broken pattern": (lambda f: changed_config(f, target_modules="("), r"target_modules = '\('"),
    "another layer": (lambda f: changed_config(f, target_modules=["q_prj"]), r"did you mean q_proj"),
    "a rank that is none": (lambda f: changed_config(f, r=0), r"adapter.rank = 0"),
    "another rank": (lambda f: changed_config(f, r=5), r"has shape \(4, 32\) where \(5, 32\) is needed"),
    "a lost tensor": (
        lambda f: changed_tensors(f, lambda arrays: arrays.pop(f"{LAYER}.lora_B.weight")),
        r"'model.layers.0.self_attn.q_proj.lora_B.weight' is missing",
    ),
    "a lost head": (
        lambda f: changed_tensors(f, lambda arrays: arrays.pop("base_model.model.score.weight")),
        r"'score.weight' is missing",
    ),
    "a stray tensor": (
        lambda f: changed_tensors(f, lambda arrays: arrays.update(stray=np.ones(3, np.float32))),
        r"'stray' belongs to no part of the adapter",
    ),
    "integers": (
        lambda f: changed_tensors(
            f, lambda arrays: arrays.update({f"{LAYER}.lora_A.weight": np.ones((4, 32), np.int8)})
        ),
        r"holds int8",
    ),
    "not of dora": (lambda f: changed_config(f, use_dora=True), r"lora_magnitude_vector' is missing"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_does_not_fit_is_told_in_a_sentence_and_the_model_stays_as_it_was(fault: str, tmp_path: Path) -> None:
    config = AdapterConfig(rank=4, targets=("q_proj",))
    save_adapter(disturb(adapt(build("llama-classifier"), config)), tmp_path)
    damage, message = FAULTS[fault]
    damage(tmp_path)
    model = build("llama-classifier")
    before = bits(model.state_dict())
    with pytest.raises(UserError, match=message) as told:
        load_adapter(model, tmp_path)
    assert "\n" not in str(told.value)
    assert len(re.sub(r"'/[^']*'", "", str(told.value))) <= 300
    assert bits(model.state_dict()) == before
    assert not list(adapted_layers(model))


def test_another_base_model_is_told_by_its_shapes_and_by_its_weights(tmp_path: Path) -> None:
    save_adapter(disturb(adapt(build("llama"), AdapterConfig(rank=4))), tmp_path)
    with pytest.raises(UserError, match=r"does not fit a LlamaForCausalLM of these sizes: .* has shape"):
        load_adapter(build("llama", intermediate_size=40), tmp_path)
    with pytest.raises(UserError, match=r"belongs to no part of the adapter"):
        load_adapter(build("llama", num_hidden_layers=1), tmp_path)
    other = build("llama", seed=1)
    with pytest.raises(UserError, match=r"was trained beside other weights than those of this LlamaForCausalLM"):
        load_adapter(other, tmp_path)
    assert list(adapted_layers(load_adapter(other, tmp_path, any_base=True)))


def test_a_model_with_an_adapter_is_not_saved_as_one_without_and_one_without_has_none_to_save(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="has no adapter that could be saved"):
        save_adapter(build("llama"), tmp_path)
    with pytest.raises(UserError, match="the model has an adapter: save it with save_adapter"):
        models.save(adapt(build("llama"), AdapterConfig()), tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_regular_expression_of_peft_means_whole_names(tmp_path: Path) -> None:
    save_adapter(
        disturb(adapt(build("llama"), AdapterConfig(rank=4, targets=("model.layers.1.*.[kv]_proj",)))), tmp_path
    )
    changed_config(tmp_path, target_modules=r"model\.layers\.1\..*\.(k|v)_proj")
    layers = dict(adapted_layers(load_adapter(build("llama"), tmp_path)))
    assert list(layers) == ["decoder.layers.1.attention.qkv"]


# Where PEFT is installed: the extra `parity`.


def hf_logits(model: Any, kind: str) -> np.ndarray[Any, Any]:
    torch = pytest.importorskip("torch", reason="extra parity is not installed")
    ids = torch.tensor(np.random.default_rng(0).integers(1, 61, (2, 9)))
    with torch.no_grad():
        out = model(input_ids=ids, decoder_input_ids=ids) if kind == "t5" else model(input_ids=ids)
    return np.asarray(out.logits).ravel()


PEERS = {
    "llama": (
        "AutoModelForCausalLM",
        ["q_proj", "v_proj", "o_proj", "gate_proj", "down_proj", "lm_head", "embed_tokens"],
    ),
    "gpt2": ("AutoModelForCausalLM", ["c_attn", "c_proj", "c_fc"]),
    "bert-classifier": ("AutoModelForSequenceClassification", ["query", "value", "dense"]),
    "t5": ("AutoModelForSeq2SeqLM", ["q", "v", "wi_0", "wo", "lm_head"]),
    "llama-classifier": ("AutoModelForSequenceClassification", ["q_proj", "up_proj", "embed_tokens"]),
}


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning", "ignore::DeprecationWarning")  # the peers'
@pytest.mark.parametrize("name", PEERS)
@pytest.mark.parametrize("use_dora", [False, True])
def test_peft_opens_ours_and_we_open_theirs_with_the_same_logits(name: str, use_dora: bool, tmp_path: Path) -> None:
    peft = pytest.importorskip("peft", reason="extra parity is not installed")
    transformers = pytest.importorskip("transformers", reason="extra parity is not installed")
    torch = pytest.importorskip("torch", reason="extra parity is not installed")
    auto, targets = PEERS[name]
    base = build(name)
    models.save(base, tmp_path / "base")
    open_base = getattr(transformers, auto).from_pretrained

    std = 0.03  # much more than roundings, and not so much that they grow from layer to layer
    ours = disturb(adapt(base, AdapterConfig(rank=4, targets=targets, use_dora=use_dora, use_rslora=True)), std=std)
    save_adapter(ours, tmp_path / "ours", base_model=str(tmp_path / "base"))
    opened = peft.PeftModel.from_pretrained(open_base(tmp_path / "base"), tmp_path / "ours").eval()
    np.testing.assert_allclose(hf_logits(opened, name), logits(ours), rtol=0, atol=1e-5)

    heads = ["score"] if name == "llama-classifier" else ["classifier"] if name == "bert-classifier" else None
    config = peft.LoraConfig(
        r=3,
        lora_alpha=5,
        target_modules=targets,
        use_dora=use_dora,
        modules_to_save=heads,
        fan_in_fan_out=name == "gpt2",
    )
    torch.manual_seed(0)
    theirs = peft.get_peft_model(open_base(tmp_path / "base"), config)
    for parameter in theirs.parameters():
        if parameter.requires_grad:
            parameter.data += std * torch.randn_like(parameter)
    theirs.eval().save_pretrained(tmp_path / "theirs")
    mine = load_adapter(models.load(tmp_path / "base").eval(), tmp_path / "theirs")
    np.testing.assert_allclose(logits(mine), hf_logits(theirs, name), rtol=0, atol=1e-5)
