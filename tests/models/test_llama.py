"""The Llama: its size, its gradients, its files, and that recomputation changes nothing but memory."""

import json

import numpy as np
import pytest

from scratchgrad import Tensor, UserError, gradcheck, manual_seed, models, no_grad
from scratchgrad.models import LlamaConfig
from scratchgrad.models.auxiliary import AuxOutputs
from scratchgrad.models.positions import EAGER_ANGLES, RotaryEmbedding
from scratchgrad.nn import Linear
from tests.models import checks, decoders
from tests.models.parity import check_both_directions

SMALL = {
    "vocab_size": 50, "hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 4, "num_key_value_heads": 2,
    "intermediate_size": 24, "max_position_embeddings": 32, "tie_word_embeddings": False,
}  # fmt: skip
rng = np.random.default_rng(0)


def small(dropout: float = 0.0, **changes):
    manual_seed(0)
    return models.build(LlamaConfig.checked({**SMALL, **changes}), dropout=dropout)


@pytest.mark.parametrize(("tied", "count"), [(False, 24_407_712), (True, 15_191_712)])
def test_the_toy_of_llama2c_has_its_number_of_parameters(tied, count):
    config = LlamaConfig(
        vocab_size=32000, hidden_size=288, num_hidden_layers=6, num_attention_heads=6, intermediate_size=768,
        max_position_embeddings=256, tie_word_embeddings=tied,
    )  # fmt: skip
    model = models.build(config)
    assert sum(p.size for p in model.parameters()) == count
    assert "(layers.0-5): 6 x Block(" in repr(model)
    assert "(qkv): Linear(weight=864x288)" in repr(model)


def test_the_gradient_of_the_loss_is_right_for_every_parameter():
    model = small(num_hidden_layers=2)
    for parameter in model.parameters():
        parameter.data = rng.standard_normal(parameter.shape) * 0.3
    model.rotary_emb.cos, model.rotary_emb.sin = (
        Tensor(t.data.astype(np.float64)) for t in (model.rotary_emb.cos, model.rotary_emb.sin)
    )
    ids, targets = rng.integers(0, 50, (2, 5)), np.array([[1, 2, -100, 4, 5], [6, 7, 8, 9, 49]])
    names, parameters = zip(*model.named_parameters(), strict=True)

    def loss(*tensors: Tensor) -> Tensor:
        holders = dict(model.named_modules())
        for name, tensor in zip(names, tensors, strict=True):
            module, _, attribute = name.rpartition(".")
            setattr(holders[module], attribute, tensor)
        return checks.loss(model, {"input_ids": ids, "targets": targets})

    gradcheck(loss, *(Tensor(p.data, requires_grad=True) for p in parameters), rtol=1e-5, fast_mode=True)


@pytest.mark.parametrize("every", [1, 2, 3])
def test_recomputation_keeps_every_bit_also_with_dropout(every):
    checks.check_recomputation(lambda: small(dropout=0.2), decoders.batch(50), every)


@pytest.mark.parametrize("name", ["gate_up", "down_proj"])
def test_a_module_in_the_place_of_a_linear_is_called(name):
    """As an adapter is: the product that stands beside a fused one must not be forgotten."""

    class Doubled(Linear):
        def forward(self, x):
            return super().forward(x) * 2

    feed_forward = small().decoder.layers[0].feed_forward
    x = Tensor(rng.standard_normal((1, 5, 16)).astype(np.float32))
    linear = getattr(feed_forward, name)
    doubled = Doubled(linear.weight.shape[1], linear.weight.shape[0], bias=False)
    doubled.weight.data[...] = linear.weight.data
    setattr(feed_forward, name, doubled)
    got = feed_forward(x, AuxOutputs())
    linear.weight.data *= 2
    setattr(feed_forward, name, linear)
    np.testing.assert_allclose(got.data, feed_forward(x, AuxOutputs()).data, rtol=1e-5, atol=1e-7)


def test_a_later_token_changes_nothing_before_it():
    model, ids = small(), rng.integers(0, 50, (1, 20))
    other = ids.copy()
    other[0, 12:] = (other[0, 12:] + 1) % 50
    with no_grad():
        a, b = model(Tensor(ids)).data, model(Tensor(other)).data
    np.testing.assert_allclose(a[0, :12], b[0, :12], atol=1e-6)
    assert np.abs(a[0, 12:] - b[0, 12:]).max() > 1e-3


def test_the_loss_is_the_negative_log_probability_of_the_logits():
    model, ids, targets = small(), rng.integers(0, 50, (2, 9)), rng.integers(0, 50, (2, 9))
    targets[0, :4] = -100
    with no_grad():
        logits = model(Tensor(ids)).data.astype(np.float64)
        loss = checks.loss(model, {"input_ids": ids, "targets": targets}).item()
    log_p = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    wanted = -sum(log_p[i][targets[i]] for i in np.ndindex(2, 9) if targets[i] >= 0)
    assert loss == pytest.approx(wanted, rel=1e-6)


@pytest.mark.parametrize("tied", [False, True])
def test_a_model_directory_gives_the_model_back(tmp_path, tied):
    model = small(tie_word_embeddings=tied)
    models.save(model, tmp_path, {"eos_token_id": 3})
    again = models.load(tmp_path)
    assert again.config == model.config
    checks.check_equal(again, model)
    assert models.load_generation_config(tmp_path) == {"eos_token_id": 3}
    assert json.loads((tmp_path / "config.json").read_text())["architectures"] == ["LlamaForCausalLM"]


@pytest.mark.parametrize("tied", [True, False])
def test_what_we_save_opens_in_transformers_and_what_it_saves_opens_here(tied, tmp_path):
    model = small(tie_word_embeddings=tied, rope_theta=500.0)
    again = check_both_directions(model, {"input_ids": rng.integers(0, 50, (2, 9))}, tmp_path)
    assert again.config == model.config


def test_a_cache_changes_nothing():
    decoders.check_cache(small(), rng.integers(0, 50, (2, 32)))


def test_angles_of_a_long_context_are_made_when_a_text_gets_there():
    eager = EAGER_ANGLES // 512
    lazy, first = RotaryEmbedding(512, 2**24, 100.0), eager - 3
    assert len(lazy.cos) == eager
    positions = np.arange(first, first + 8)
    cos, sin = lazy(Tensor(positions))
    angles = np.outer(positions, 100 ** -(np.arange(256) / 256))
    np.testing.assert_allclose(cos.data, np.cos(angles), atol=1e-6)
    np.testing.assert_allclose(sin.data, np.sin(angles), atol=1e-6)
    assert eager < len(lazy.cos) < 3 * eager


def test_reference_logits_of_a_real_checkpoint(data_folder):
    folder = data_folder / "02_models" / "stories260K_hf"
    model, ids, want = models.load(folder), np.load(folder / "ref_ids.npy"), np.load(folder / "ref_logits_f64.npy")
    with no_grad():
        logits = model(Tensor(ids.reshape(1, -1))).data[0]
    np.testing.assert_allclose(logits, want, atol=1e-4)


@pytest.mark.parametrize(("changes", "words"), [
    ({"hidden_size": 18}, "model.hidden_size = 18 is not divisible by 4 attention heads"),
    ({"num_key_value_heads": 3}, "not divisible by num_key_value_heads = 3"),
    ({"hidden_size": 12}, "a head is 3 wide"),
    ({"rope_scaling": {"type": "linear"}}, "model.rope_scaling .* not supported"),
    ({"hidden_act": "gelu"}, "model.hidden_act = 'gelu' asks for a feature that is not supported"),
    ({"intermediat_size": 24}, "did you mean model.intermediate_size"),
    ({"vocab_size": "many"}, "model.vocab_size = 'many'"),
    ({"num_hidden_layers": 0}, "model.num_hidden_layers = 0"),
    ({"model_type": "mamba"}, "it is one of: .*llama"),
])  # fmt: skip
def test_a_config_that_cannot_be_is_refused(changes, words):
    with pytest.raises(UserError, match=words):
        models.config_from_dict({"model_type": "llama", **SMALL, **changes})


def damage(folder, change):
    models.save(small(), folder)
    change(folder)
    with pytest.raises(UserError) as told:
        models.load(folder)
    return str(told.value)


def edit_config(**changes):
    def change(folder):
        path = folder / "config.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))

    return change


def truncate(folder):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


@pytest.mark.parametrize(("change", "words"), [
    (truncate, "not a whole safetensors file"),
    (lambda folder: (folder / "model.safetensors").write_bytes(b"\xff" * 64), "not a whole safetensors file"),
    (lambda folder: (folder / "model.safetensors").unlink(), "model.safetensors' does not exist"),
    (lambda folder: (folder / "config.json").unlink(), "not a model directory"),
    (lambda folder: (folder / "config.json").write_text("{"), "is not JSON"),
    (lambda folder: (folder / "config.json").write_text("[]"), "holds a list"),
    (edit_config(num_hidden_layers=2), "'model.layers.2.mlp.gate_proj.weight' belongs to no part of the model"),
    (edit_config(num_hidden_layers=4), "'model.layers.3.input_layernorm.weight' is missing"),
    (edit_config(vocab_size=51), r"'lm_head.weight' has shape \(50, 16\) and the config asks for \(51, 16\)"),
    (edit_config(attention_bias=True), "model.attention_bias = True asks for a feature"),
])  # fmt: skip
def test_a_damaged_directory_is_refused_with_what_is_wrong(tmp_path, change, words):
    import re

    assert re.search(words, damage(tmp_path, change))
