"""Output layers are called, not read: a wrapped one trains every family as a plain one of the same matrix does."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scratchgrad import Tensor, manual_seed, models, no_grad
from scratchgrad import functional as F
from scratchgrad.models import AuxOutputs, output_cross_entropy, token_log_probs
from scratchgrad.models.output import CHUNK_TOKENS, output_layer
from scratchgrad.nn import Embedding, Linear, Module, Parameter
from scratchgrad.ops.cross_entropy import IGNORE_INDEX
from tests.models import checks

DECODER = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 4, "intermediate_size": 24}
ENCODER_DECODER = {"d_model": 16, "d_ff": 24, "num_layers": 1, "num_heads": 4}
T5 = {"model_type": "t5", "d_kv": 4, **ENCODER_DECODER}
# A config, an architecture, and where the output layer stands.
FAMILIES = {
    "gpt2": ({"model_type": "gpt2", "n_embd": 16, "n_layer": 1, "n_head": 4}, None, "lm_head"),
    "llama": ({"model_type": "llama", **DECODER}, None, "lm_head"),
    "llama, tied": ({"model_type": "llama", **DECODER, "tie_word_embeddings": True}, None, "lm_head"),
    "mixtral": ({"model_type": "mixtral", **DECODER, "num_local_experts": 2}, None, "lm_head"),
    "t5": (T5, None, "lm_head"),
    "t5, untied": ({**T5, "tie_word_embeddings": False}, None, "lm_head"),
    "transformer": ({"model_type": "transformer", **ENCODER_DECODER}, None, "lm_head"),
    "bert, pre-training": ({"model_type": "bert", **DECODER}, "BertForPreTraining", "masked_head.decoder"),
    "bert, masked": ({"model_type": "bert", **DECODER}, "BertForMaskedLM", "masked_head.decoder"),
    "bert, texts": ({"model_type": "bert", **DECODER}, "BertForSequenceClassification", "classifier"),
    "bert, tokens": ({"model_type": "bert", **DECODER}, "BertForTokenClassification", "classifier"),
    "bert, answers": ({"model_type": "bert", **DECODER}, "BertForQuestionAnswering", "qa_outputs"),
}
TARGETS = {"bert, texts": ((2,), 2), "bert, tokens": ((2, 12), 2), "bert, answers": ((2, 2), 12)}


class LowRank(Module):
    """A Linear and a product of two narrow matrices (Hu et al. 2021)."""

    def __init__(self, linear: Linear, rank: int = 3) -> None:
        rng = np.random.default_rng(5)
        out_features, in_features = linear.weight.shape
        self.linear = linear
        self.a = Parameter(rng.standard_normal((rank, in_features), np.float32) * 0.2)
        self.b = Parameter(rng.standard_normal((out_features, rank), np.float32) * 0.2)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.linear(x) + F.linear(F.linear(x, self.a), self.b)
        return out

    def merged(self) -> np.ndarray:
        return self.linear.weight.data + self.b.data @ self.a.data

    @property
    def bias(self) -> Parameter | None:
        return self.linear.bias


class Quantised(Module):
    """Frozen integers and a scale for each row, which become numbers where they are used."""

    def __init__(self, linear: Linear) -> None:
        weight = linear.weight.data
        self.scales = np.abs(weight).max(axis=1, keepdims=True) / 127
        self.integers = np.round(weight / self.scales).astype(np.int8)
        self.bias = linear.bias

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, Tensor(self.merged()), self.bias)

    def merged(self) -> np.ndarray:
        return (self.integers * self.scales).astype(np.float32)


def build(name: str) -> models.Model:
    values, architecture, _ = FAMILIES[name]
    manual_seed(0)
    config = models.config_from_dict({"vocab_size": 40, "max_position_embeddings": 32, **values})
    model = models.build(config, architectures=[architecture] if architecture else None)
    draw = np.random.default_rng(1)
    for parameter in model.parameters():
        parameter.data = parameter.data + draw.standard_normal(parameter.shape, np.float32) * 0.1
    return model


def replace_output(model: models.Model, path: str, new) -> Module:
    *parents, last = path.split(".")
    owner = model
    for parent in parents:
        owner = getattr(owner, parent)
    layer = new(getattr(owner, last))
    setattr(owner, last, layer)
    return layer


def merge(wrapped: Module):
    """A plain layer that holds the wrapped one's matrix, as a parameter of its own."""

    def plain(linear: Linear) -> Linear:
        out_features, in_features = linear.weight.shape
        layer = Linear(in_features, out_features, bias=False)
        layer.weight = Parameter(wrapped.merged().copy())
        layer.bias = linear.bias
        return layer

    return plain


def step(name: str, model: models.Model) -> tuple[float, dict[str, np.ndarray]]:
    """The loss of a training step, and all gradients."""
    rng = np.random.default_rng(2)
    shape, classes = TARGETS.get(name, ((2, 12), 40))
    targets = rng.integers(0, classes, shape)
    if name not in TARGETS:
        targets[0, :4] = IGNORE_INDEX
    aux = AuxOutputs()
    loss = checks.loss(model, {"input_ids": rng.integers(0, 40, (2, 12)), "targets": targets}, aux)
    loss.backward()
    return loss.item(), {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("wrapper", [LowRank, Quantised])
def test_a_wrapped_output_layer_trains_as_the_plain_one_of_the_same_matrix(name, wrapper):
    path = FAMILIES[name][2]
    one, other = build(name), build(name)
    wrapped = replace_output(one, path, wrapper)
    plain = replace_output(other, path, merge(wrapped))
    loss, gradients = step(name, one)
    wanted_loss, wanted = step(name, other)
    assert loss == pytest.approx(wanted_loss, rel=1e-5)
    shared = [key for key in wanted if not key.startswith(f"{path}.") and "embed_tokens" not in key]
    assert len(shared) >= 7
    for key in shared:
        np.testing.assert_allclose(gradients[key], wanted[key], rtol=1e-4, atol=1e-4, err_msg=key)
    of_matrix = plain.weight.grad
    if isinstance(wrapped, LowRank):
        np.testing.assert_allclose(wrapped.a.grad, wrapped.b.data.T @ of_matrix, rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(wrapped.b.grad, of_matrix @ wrapped.a.data.T, rtol=1e-4, atol=1e-4)
    if plain.bias is not None:
        np.testing.assert_allclose(wrapped.bias.grad, plain.bias.grad, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", [name for name in FAMILIES if FAMILIES[name][2] == "lm_head"])
def test_a_wrapped_output_layer_gives_logits_when_a_prompt_is_read(name):
    model, prompt = build(name).eval(), [3, 1, 4, 1, 5]
    layer = replace_output(model, "lm_head", LowRank)
    with no_grad():
        logits, _ = model.prefill(prompt)
        replace_output(model, "lm_head", lambda _: merge(layer)(layer.linear))
        wanted, _ = model.prefill(prompt)
    np.testing.assert_allclose(logits.data, wanted.data, rtol=1e-4, atol=1e-5)


def test_a_tied_layer_holds_the_parameter_of_the_embedding_and_draws_nothing():
    manual_seed(0)
    embedding = Embedding(7, 4)
    tied, untied = output_layer(embedding, is_tied=True, bias=True), output_layer(embedding, is_tied=False)
    assert tied.weight is embedding.weight
    assert not tied.bias.data.any()
    manual_seed(0)
    Embedding(7, 4)
    assert np.array_equal(untied.weight.data, output_layer(embedding, is_tied=False).weight.data)
    model = build("llama, tied")
    assert model.lm_head.weight is model.embed_tokens.weight
    assert next(name for name, _ in model.named_parameters()) == "embed_tokens.weight"
    assert not any("lm_head" in name for name in model.state_dict())
    model.load_state_dict({name: array * 2 for name, array in model.state_dict().items()})
    assert model.lm_head.weight is model.embed_tokens.weight


@given(
    st.integers(0, 3 * 5),
    st.sampled_from(["sum", "mean", "none"]),
    st.sampled_from([0.0, 0.2]),
    st.sampled_from([0.0, 0.01]),
    st.sampled_from([Linear, LowRank, Quantised]),
    st.booleans(),
)
def test_the_losses_of_any_layer_are_those_of_its_logits(tokens, reduction, smoothing, z_loss, kind, bias):
    rng = np.random.default_rng(tokens)
    linear = Linear(6, 11, bias=bias, std=1.0)
    layer = linear if kind is Linear else kind(linear)
    x = rng.standard_normal((1, tokens, 6)).astype(np.float32)
    targets = np.where(rng.random((1, tokens)) < 0.3, IGNORE_INDEX, rng.integers(0, 11, (1, tokens)))
    upstream = rng.standard_normal((1, tokens)).astype(np.float32) if reduction == "none" else np.float32(0.7)

    def run(loss_of):
        inputs = Tensor(x, requires_grad=True)
        layer.zero_grad()
        loss = loss_of(inputs)
        (loss * Tensor(upstream)).sum().backward()
        return [loss.data, inputs.grad, *(p.grad for p in layer.parameters())]

    options = {"label_smoothing": smoothing, "z_loss": z_loss, "reduction": reduction}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("scratchgrad.models.output.CHUNK_TOKENS", 5)
        got = run(lambda h: output_cross_entropy(layer, h, Tensor(targets), **options))
        wanted = run(lambda h: F.cross_entropy(layer(h), Tensor(targets), **options))
        log_probs = token_log_probs(layer, Tensor(x), Tensor(targets)).data
    for ours, theirs in zip(got, wanted, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)
    each = F.cross_entropy(layer(Tensor(x)), Tensor(targets), reduction="none").data
    np.testing.assert_allclose(log_probs, -each, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("wrapper", [LowRank, Quantised])
@pytest.mark.parametrize("reduction", ["sum", "none"])
def test_the_logits_never_exist_as_a_whole(wrapper, reduction):
    tokens, vocabulary = 16 * CHUNK_TOKENS, 1000
    layer, rng = wrapper(Linear(8, vocabulary)), np.random.default_rng(0)
    x = Tensor(rng.standard_normal((tokens, 8), np.float32), requires_grad=True)
    targets = Tensor(rng.integers(0, vocabulary, tokens))
    tracemalloc.start()
    output_cross_entropy(layer, x, targets, reduction=reduction).sum().backward()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert x.grad is not None
    assert peak < tokens * vocabulary * 4 / 2, "at most half of the logits"


def test_targets_of_another_shape_or_beyond_the_vocabulary_are_refused():
    layer, x = LowRank(Linear(6, 11)), Tensor(np.zeros((2, 3, 6), np.float32))
    with pytest.raises(ValueError, match=r"targets must have the leading shape \(2, 3\), not \(3, 2\)"):
        output_cross_entropy(layer, x, Tensor(np.zeros((3, 2), int)))
    with pytest.raises(IndexError, match="target 11 is none of the 11 classes"):
        token_log_probs(layer, x, Tensor(np.full((2, 3), 11)))
