"""Model directories: one file or several, every dtype, what others put beside the weights, and what does not fit."""

import json
import os
import re
import subprocess
import sys

import ml_dtypes
import numpy as np
import pytest

from scratchgrad import Tensor, UserError, manual_seed, models, no_grad
from scratchgrad.files import map_tensors, write_tensors
from scratchgrad.models import config_from_dict, gpt2
from scratchgrad.models.weight_loading import load_weights
from scratchgrad.nn import Linear, shapes_only
from scratchgrad.random import get_rng_state
from tests.models import checks

LLAMA = {
    "model_type": "llama", "vocab_size": 50, "hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 4,
    "num_key_value_heads": 2, "intermediate_size": 24, "max_position_embeddings": 32, "tie_word_embeddings": False,
}  # fmt: skip
GPT2 = {"model_type": "gpt2", "vocab_size": 50, "n_positions": 32, "n_embd": 16, "n_layer": 3, "n_head": 4}

BERT = {
    "model_type": "bert", "vocab_size": 50, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 4,
    "intermediate_size": 24, "max_position_embeddings": 32,
}  # fmt: skip
T5 = {
    "model_type": "t5", "vocab_size": 50, "d_model": 16, "d_ff": 24, "d_kv": 4, "num_layers": 2, "num_heads": 4,
    "num_decoder_layers": 2,
}  # fmt: skip


def built(config=LLAMA, **changes):
    manual_seed(0)
    return models.build(models.config_from_dict({**config, **changes}))


def change_config(folder, **changes):
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def change_weights(folder, change):
    arrays = dict(map_tensors(folder / "model.safetensors"))
    change(arrays)
    write_tensors(folder / "other", arrays)
    (folder / "other").rename(folder / "model.safetensors")


def refusal(folder):
    with pytest.raises(UserError) as told:
        models.load(folder)
    return str(told.value)


@pytest.mark.parametrize("config", [LLAMA, GPT2], ids=["llama", "gpt2"])
@pytest.mark.parametrize("limit", [1, 3000, 10**9])
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_a_model_comes_back_from_any_dtype_in_any_number_of_files(tmp_path, config, dtype, limit):
    model = built(config)
    models.save(model, tmp_path, dtype=dtype, max_shard_size=limit)
    files = sorted(path.name for path in tmp_path.glob("*.safetensors"))
    if limit == 10**9:
        assert files == ["model.safetensors"]
    else:
        assert files[-1] == f"model-{len(files):05}-of-{len(files):05}.safetensors"
        for file in files:
            sizes = [array.nbytes for array in map_tensors(tmp_path / file).values()]
            assert len(sizes) == 1 or sum(sizes) <= limit
    kept = ml_dtypes.bfloat16 if dtype == "bfloat16" else dtype
    for (name, wanted), got in zip(
        model.state_dict().items(), models.load(tmp_path).state_dict().values(), strict=True
    ):
        assert got.dtype == np.float32
        assert np.array_equal(wanted.astype(kept).astype(np.float32), got), name
    assert json.loads((tmp_path / "config.json").read_text())["torch_dtype"] == dtype


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_transformers_reads_what_we_cut_and_we_read_what_it_cut(tmp_path, dtype):
    torch = pytest.importorskip("torch", reason="the extra parity is not installed")
    transformers = pytest.importorskip("transformers", reason="the extra parity is not installed")
    models.save(built(GPT2), tmp_path / "ours", dtype=dtype, max_shard_size=5000)
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "ours", dtype="auto")
    assert theirs.dtype == getattr(torch, dtype)
    theirs.save_pretrained(tmp_path / "theirs", max_shard_size="5KB")
    assert len(list((tmp_path / "theirs").glob("model-*.safetensors"))) > 3
    checks.check_equal(models.load(tmp_path / "theirs"), models.load(tmp_path / "ours"))


def test_a_folder_holds_one_model_however_often_and_in_how_many_files_it_was_saved(tmp_path):
    for number, limit in enumerate([10**9, 3000, 5000, 10**9, 3000]):
        model = built(vocab_size=40 + number)
        models.save(model, tmp_path, max_shard_size=limit)
        checks.check_equal(models.load(tmp_path), model)
        stored = [name for file in tmp_path.glob("*.safetensors") for name in map_tensors(file)]
        assert len(stored) == len(set(stored)), "files of the model before are left"
        assert (tmp_path / "model.safetensors.index.json").exists() == (limit < 10**9)


@pytest.mark.parametrize(("config", "prefix"), [(LLAMA, "model."), (GPT2, "transformer.")], ids=["llama", "gpt2"])
@pytest.mark.parametrize("tied", [True, False])
def test_a_bare_model_saved_without_its_head_has_no_prefix(tmp_path, config, prefix, tied):
    model = built(config, tie_word_embeddings=tied)
    models.save(model, tmp_path)
    change_weights(
        tmp_path, lambda arrays: [arrays.update({name.removeprefix(prefix): arrays.pop(name)}) for name in list(arrays)]
    )
    checks.check_equal(models.load(tmp_path), model)
    if not tied:
        change_weights(tmp_path, lambda arrays: arrays.pop("lm_head.weight"))
        assert "'lm_head.weight' is missing; they would fit tie_word_embeddings = true" in refusal(tmp_path)


def test_bare_models_of_transformers(tmp_path):
    transformers = pytest.importorskip("transformers", reason="the extra parity is not installed")
    for config in (LLAMA, GPT2):
        folder = tmp_path / config["model_type"]
        model = built(config, tie_word_embeddings=True)
        models.save(model, folder)
        transformers.AutoModel.from_pretrained(folder).save_pretrained(folder)
        change_config(folder, architectures=[model.architecture])
        checks.check_equal(models.load(folder), model)


@pytest.mark.parametrize(("config", "buffers"), [
    (LLAMA, ["model.rotary_emb.inv_freq", "model.layers.1.self_attn.rotary_emb.inv_freq"]),
    (GPT2, ["transformer.h.0.attn.bias", "transformer.h.2.attn.masked_bias"]),
], ids=["llama", "gpt2"])  # fmt: skip
def test_buffers_that_say_nothing_are_passed_over_and_others_are_not(tmp_path, config, buffers):
    model = built(config)
    models.save(model, tmp_path)
    change_weights(tmp_path, lambda arrays: arrays.update({name: np.ones((1, 1), np.uint8) for name in buffers}))
    checks.check_equal(models.load(tmp_path), model)
    change_weights(tmp_path, lambda arrays: arrays.update({buffers[0].replace("0", "x") + "s": np.ones(1)}))
    assert re.search(rf"'{buffers[0].replace('0', 'x')}s' belongs to no part of the model", refusal(tmp_path))


def test_a_weight_under_its_old_name_beside_the_new_one_is_one_too_many(tmp_path):
    bert = {
        "model_type": "bert", "vocab_size": 20, "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2,
        "intermediate_size": 8, "max_position_embeddings": 8,
    }  # fmt: skip
    models.save(built(bert), tmp_path)
    new = "bert.embeddings.LayerNorm.weight"
    assert new in map_tensors(tmp_path / "model.safetensors")
    change_weights(tmp_path, lambda arrays: arrays.update({new.replace("weight", "gamma"): arrays[new] + 1}))
    assert "'bert.embeddings.LayerNorm.gamma' belongs to no part of the model" in refusal(tmp_path)


def test_a_tied_output_layer_may_be_stored_again_if_it_is_the_same(tmp_path):
    model = built(GPT2)
    models.save(model, tmp_path)
    change_weights(tmp_path, lambda arrays: arrays.update({"lm_head.weight": arrays["transformer.wte.weight"]}))
    checks.check_equal(models.load(tmp_path), model)
    change_weights(tmp_path, lambda arrays: arrays.update({"lm_head.weight": arrays["transformer.wte.weight"] + 1}))
    assert (
        "'lm_head.weight' is not the same as 'transformer.wte.weight', to which the config ties it; "
        "they would fit tie_word_embeddings = false"
    ) in refusal(tmp_path)


@pytest.mark.parametrize(("config", "changes", "words"), [
    (LLAMA, {"vocab_size": 51}, "'lm_head.weight' has shape (50, 16) and the config asks for (51, 16); 'model.embed_tokens.weight' has shape (50, 16) and the config asks for (51, 16); they would fit vocab_size = 50"),
    (LLAMA, {"num_hidden_layers": 5}, "'model.layers.3-4.input_layernorm.weight' is missing"),
    (LLAMA, {"num_hidden_layers": 5}, "they would fit num_hidden_layers = 3"),
    (LLAMA, {"num_hidden_layers": 1}, "'model.layers.1-2.input_layernorm.weight' belongs to no part of the model"),
    (LLAMA, {"num_hidden_layers": 1}, "they would fit num_hidden_layers = 3"),
    (LLAMA, {"num_key_value_heads": 4}, "they would fit num_key_value_heads = 2"),
    (LLAMA, {"hidden_size": 32}, "they would fit hidden_size = 16"),
    (LLAMA, {"tie_word_embeddings": True}, "'lm_head.weight' is not the same as 'model.embed_tokens.weight', to which the config ties it; they would fit tie_word_embeddings = false"),
    (LLAMA, {"intermediate_size": 20, "vocab_size": 60}, "they would fit intermediate_size = 24 and vocab_size = 50"),
    (GPT2, {"n_positions": 64}, "they would fit max_position_embeddings = 32"),
    (GPT2, {"n_inner": 48}, "they would fit n_inner = 64"),
    (GPT2, {"n_layer": 2, "vocab_size": 49}, "they would fit vocab_size = 50 and n_layer = 3"),
    (GPT2, {"tie_word_embeddings": False}, "'lm_head.weight' is missing; they would fit tie_word_embeddings = true"),
])  # fmt: skip
def test_all_that_does_not_fit_is_told_with_the_config_that_would(tmp_path, config, changes, words):
    models.save(built(config), tmp_path)
    change_config(tmp_path, **changes)
    told = refusal(tmp_path)
    assert told.startswith(f"the weights in '{tmp_path}' do not fit its config.json: ")
    if "and" not in words.rpartition("would fit")[2]:
        assert words in told
    else:
        assert set(words.removeprefix("they would fit ").split(" and ")) == set(
            told.rpartition("would fit ")[2].split(" and ")
        )


def test_weights_of_another_model_are_told_without_advice(tmp_path):
    models.save(built(LLAMA), str(tmp_path))
    (tmp_path / "config.json").write_text(json.dumps(GPT2))
    told = refusal(tmp_path)
    assert "' is missing" in told
    assert "' belongs to no part" in told
    assert told.endswith(" more")
    assert "would fit" not in told


def test_weights_that_are_no_numbers_with_a_point(tmp_path):
    models.save(built(GPT2), tmp_path)
    change_weights(tmp_path, lambda arrays: arrays.update({"transformer.ln_f.bias": np.zeros(16, np.int32)}))
    assert "'transformer.ln_f.bias' holds int32, not float32, float16 or bfloat16" in refusal(tmp_path)


@pytest.mark.parametrize("config", [
    {**LLAMA, "vocab_size": 2**24, "hidden_size": 2**24, "num_attention_heads": 2, "max_position_embeddings": 2**24, "num_hidden_layers": 1024},
    {**GPT2, "vocab_size": 2**24, "n_embd": 2**24, "n_positions": 2**24, "n_layer": 1024},
], ids=["llama", "gpt2"])  # fmt: skip
def test_a_config_that_lies_costs_nothing(tmp_path, config):
    """Hundreds of terabytes, were they allocated."""
    models.save(built(GPT2), tmp_path)
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert "do not fit its config.json" in refusal(tmp_path)
    with shapes_only():
        assert sum(p.size for p in built(config).parameters()) > 10**14


def cut(folder):
    models.save(built(GPT2), folder, max_shard_size=5000)
    return json.loads((folder / "model.safetensors.index.json").read_text())


@pytest.mark.parametrize(("change", "words"), [
    (lambda folder, index: index.pop("weight_map"), "has no weight_map"),
    (lambda folder, index: index.update(weight_map={"a": 1}), "has no weight_map"),
    (lambda folder, index: index["weight_map"].update({"a": "../model.safetensors"}), "names the file '../model.safetensors', which is none of a model directory's own"),
    (lambda folder, index: index["weight_map"].update({"a": "/etc/passwd"}), "names the file '/etc/passwd'"),
    (lambda folder, index: index["weight_map"].update({"a": "pytorch_model.bin"}), "names the file 'pytorch_model.bin'"),
    (lambda folder, index: index["weight_map"].update({"a": "model-9.safetensors"}), "model-9.safetensors' does not exist, and"),
    (lambda folder, index: index["weight_map"].update({"a": index["weight_map"]["transformer.wte.weight"]}), "of it: 'a'"),
    (lambda folder, index: index["weight_map"].pop("transformer.h.0.ln_1.bias"), "of it: 'transformer.h.0.ln_1.bias'"),
    (lambda folder, index: next(folder.glob("model-00002-*")).unlink(), "names it: one part of the model is missing"),
    (lambda folder, index: next(folder.glob("model-00002-*")).write_bytes(b"12345678"), "is not a whole safetensors file"),
])  # fmt: skip
def test_an_index_that_does_not_agree_with_its_files_is_refused(tmp_path, change, words):
    index = cut(tmp_path)
    change(tmp_path, index)
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    assert words in refusal(tmp_path)


def test_an_index_with_a_name_twice_and_a_config_without_end(tmp_path):
    cut(tmp_path)
    (tmp_path / "model.safetensors.index.json").write_text(
        '{"weight_map": {"a": "b.safetensors", "a": "c.safetensors"}}'
    )
    assert "the name 'a' comes twice" in refusal(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "gpt2"' + " " * (1 << 24) + "}")
    assert "has more than 16,777,216 bytes" in refusal(tmp_path)
    (tmp_path / "config.json").write_text("[" * 100_000)
    assert "is not JSON" in refusal(tmp_path)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "checkpoint.pth"])
def test_pickled_weights_are_refused_with_the_way_out(tmp_path, name):
    models.save(built(GPT2), tmp_path)
    (tmp_path / "model.safetensors").rename(tmp_path / name)
    told = refusal(tmp_path)
    assert f"{name}' is pickled" in told
    assert "save_pretrained" in told


def test_a_real_pickle_is_refused(data_folder):
    assert "pytorch_model.bin' is pickled, and opening such a file runs" in refusal(
        data_folder / "02_models" / "bert-xsmall-dummy"
    )


def test_an_unknown_family_is_refused_and_the_known_ones_are_named(tmp_path):
    models.save(built(GPT2), tmp_path)
    change_config(tmp_path, model_type="mamba")
    assert re.search("model_type = 'mamba' is not known; it is one of: .*gpt2, .*llama", refusal(tmp_path))


READER = """
import resource, sys, time
from pathlib import Path
from scratchgrad import models
used = int(next(line for line in open("/proc/self/status") if line.startswith("VmData")).split()[1]) << 10
size = int(sys.argv[2])
resource.setrlimit(resource.RLIMIT_DATA, (used + size + size // 8,) * 2)
model = models.load(Path(sys.argv[1]))
assert sum(4 * p.size for p in model.parameters()) == size
"""


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_loading_takes_the_memory_of_the_model_and_an_eighth_more_at_most(tmp_path, dtype):
    """200 MB in few and wide arrays, loaded by a process that may not have more."""
    if not os.path.exists("/proc/self/status"):
        pytest.skip("no /proc to measure memory by")
    with shapes_only():
        model = built(GPT2, vocab_size=40_000, n_embd=1024, n_layer=1, n_positions=64)
    models.save(model, tmp_path, dtype=dtype)  # the one zero, everywhere
    size = sum(4 * p.size for p in model.parameters())
    assert size > 200_000_000
    done = subprocess.run([sys.executable, "-c", READER, tmp_path, str(size)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_loading_draws_no_random_numbers(tmp_path):
    models.save(built(GPT2), tmp_path)

    before = get_rng_state()
    models.load(tmp_path)
    assert get_rng_state() == before


def test_a_loaded_model_is_its_own(tmp_path):
    """Its arrays can be trained, and do not hang on the file."""
    models.save(built(GPT2), tmp_path)
    model = models.load(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"")
    for parameter in model.parameters():
        parameter.data += 1
    with no_grad():
        assert np.isfinite(model(Tensor([[1, 2, 3]])).data).all()


def test_a_parameter_that_the_weight_map_does_not_name_is_never_left_out(tmp_path):
    class Longer(gpt2.GPT2):
        def __init__(self, config, *, dropout=0.0):
            super().__init__(config, dropout=dropout)
            self.gate = Linear(4, 4)

    class Twice(gpt2.GPT2):
        @staticmethod
        def weight_map(config):
            names = gpt2.GPT2.weight_map(config)
            return {**names, "decoder.norm.bias": names["decoder.norm.weight"]}

    for family, words in (
        (Longer, "'gate.weight' is not in it; 'gate.bias' is not in it"),
        (Twice, "stands there 2 times"),
    ):
        model = family(config_from_dict(GPT2))
        with pytest.raises(UserError, match=words):
            models.save(model, tmp_path / family.__name__)
        with pytest.raises(UserError, match=words):
            load_weights(model, {})


@pytest.mark.parametrize(("content", "words"), [
    ({"eos_token_id": "2"}, "eos_token_id = '2', which is no id"),
    ({"eos_token_id": [1, 50]}, r"eos_token_id = \[1, 50\], which is no id of a token from 0 to 49"),
    ({"bos_token_id": -1}, "bos_token_id = -1"),
    ({"bos_token_id": [1]}, r"bos_token_id = \[1\]"),
    ({"bos_token_id": True}, "bos_token_id = True"),
    ({"pad_token_id": {}}, "pad_token_id = {}"),
])  # fmt: skip
def test_a_generation_config_names_ids_of_the_model(tmp_path, content, words):
    (tmp_path / "generation_config.json").write_text(json.dumps(content))
    with pytest.raises(UserError, match=words):
        models.load_generation_config(tmp_path, 50)


@pytest.mark.parametrize(
    ("config", "key"), [(BERT, "num_hidden_layers"), (T5, "num_layers"), (T5, "num_decoder_layers")]
)
def test_one_bound_for_the_layers_of_all_families(config, key):
    with pytest.raises(UserError, match=f"model.{key} = 1000000000: Input should be less than or equal to 1024"):
        config_from_dict({**config, key: 10**9})


PEERS = {
    "GPT2Model": {"vocab_size": 50, "n_positions": 32, "n_embd": 16, "n_layer": 2, "n_head": 4, "bos_token_id": 1, "eos_token_id": 1},
    "BertForSequenceClassification": {**BERT, "problem_type": "multi_label_classification", "num_labels": 3, "temperature": 1.0},
    "T5ForConditionalGeneration": {**T5, "feed_forward_proj": "gated-gelu", "tie_word_embeddings": False},
}  # fmt: skip


@pytest.mark.parametrize("name", PEERS)
def test_what_transformers_saves_without_a_head_with_many_labels_or_tied_and_unscaled(tmp_path, name):
    transformers = pytest.importorskip("transformers", reason="the extra `bench` is not installed: no transformers")
    torch = pytest.importorskip("torch", reason="the extra `bench` is not installed: no torch")
    family = getattr(transformers, name)
    options = {key: value for key, value in PEERS[name].items() if key != "model_type"}
    torch.manual_seed(0)
    theirs = family(family.config_class(**options)).eval()
    theirs.save_pretrained(tmp_path / "theirs")
    ours = models.load(tmp_path / "theirs").eval()
    ids = np.arange(12).reshape(2, 6)
    with no_grad(), torch.no_grad():
        if name == "T5ForConditionalGeneration":
            wanted = theirs(input_ids=torch.tensor(ids), decoder_input_ids=torch.tensor(ids)).logits
            got = ours(Tensor(ids), Tensor(ids))
        elif name == "GPT2Model":
            wanted, got = theirs(torch.tensor(ids)).last_hidden_state, ours.hidden_states(Tensor(ids))
        else:
            wanted, got = theirs(torch.tensor(ids)).logits, ours(Tensor(ids))
    np.testing.assert_allclose(got.data, wanted.numpy(), atol=2e-5)
    models.save(ours, tmp_path / "ours")
    assert models.load(tmp_path / "ours").config == ours.config
