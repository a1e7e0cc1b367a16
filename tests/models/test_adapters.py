"""Adapters: what they compute, which layers they mean, and that nothing of the model below them changes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scratchgrad import Tensor, gradcheck, models
from scratchgrad import functional as F
from scratchgrad.errors import UserError
from scratchgrad.models import output_cross_entropy
from scratchgrad.models.adapters import (
    AdapterConfig,
    adapt,
    adapted_layers,
    adapter_parameters,
    merge,
    remove_adapter,
    unmerge,
)
from scratchgrad.models.adapters.layers import LoRAEmbedding, LoRAGroupedLinear, LoRALinear, Part
from scratchgrad.models.adapters.pairs import lengths
from scratchgrad.models.adapters.targets import choose
from scratchgrad.models.mixture import GroupedLinear
from scratchgrad.nn import Embedding, Linear, Module, Parameter
from scratchgrad.random import RngState, fork_rng
from tests.models.adapters_models import BERT, FAMILIES, LLAMA, bits, build, disturb, ids_of, logits

EVERY_LAYER = {  # with embeddings and the output layer where they are not tied
    "llama": ("all-linear", "embed_tokens", "lm_head"),
    "gpt2": ("all-linear", "wpe"),
    "bert": ("all-linear", "token_type_embeddings"),
    "bert-classifier": ("all-linear", "word_embeddings", "token_type_embeddings"),
    "t5": ("all-linear", "shared", "lm_head", "relative_attention_bias"),
    "t5-classifier": ("all-linear",),
    "transformer": ("all-linear",),
    "mixtral": ("all-linear", "embed_tokens"),
    "llama-classifier": ("all-linear", "embed_tokens"),
}


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("use_dora", [False, True])
def test_an_adapted_model_begins_as_the_model_that_it_was_and_merges_into_what_it_became(
    name: str, use_dora: bool
) -> None:
    model, use_dora = build(name), use_dora and name != "mixtral"
    before, state = logits(model), bits(model.state_dict())
    adapt(model, AdapterConfig(rank=4, targets=EVERY_LAYER[name], use_dora=use_dora))
    assert logits(model).tobytes() == before.tobytes()

    trained = disturb(model)
    changed = logits(trained)
    assert abs(changed - before).max() > 1e-3
    merged_by = merge(model, probe=lambda model: Tensor(logits(model)).data)
    difference = logits(model) - changed
    assert merged_by == pytest.approx(abs(difference).max(), rel=1e-6)
    assert np.linalg.norm(difference) <= 1e-6 * np.linalg.norm(changed)
    with pytest.raises(ValueError, match="merged already"):
        merge(model)

    unmerge(model)
    assert logits(model).tobytes() == changed.tobytes()
    heads = {key for key, parameter in model.named_parameters() if parameter.requires_grad}
    remove_adapter(model)
    kept = {key: value for key, value in model.state_dict().items() if key not in heads}
    assert bits(kept) == {key: value for key, value in state.items() if key not in heads}
    assert model.state_dict().keys() == state.keys()
    assert all(p.requires_grad for p in model.parameters())


def test_what_was_merged_stays_where_the_adapter_is_removed() -> None:
    model = disturb(adapt(build("llama"), AdapterConfig(rank=4)))
    changed = logits(model)
    merge(model)
    remove_adapter(model)
    assert not list(adapted_layers(model))
    np.testing.assert_allclose(logits(model), changed, rtol=0, atol=1e-6)


def test_every_layer_has_the_pairs_that_hugging_face_has_names_for() -> None:
    model = adapt(build("llama"), AdapterConfig(rank=4, targets=("q_proj", "v_proj", "up_proj")))
    layers = dict(adapted_layers(model))
    assert {name.split(".", 3)[3] for name in layers} == {"attention.qkv", "feed_forward.gate_up"}
    assert {leaf for layer in layers.values() for leaf in layer.pairs} == {"q_proj", "v_proj", "up_proj"}
    name = "decoder.layers.1.attention.qkv.pairs.v_proj.lora_B"
    assert dict(adapter_parameters(model))[name].shape == (16, 4)


@pytest.mark.parametrize(
    ("targets", "layers"),
    [
        (["decoder.layers.1.attention.qkv"], ["decoder.layers.1.attention.qkv"]),
        (["model.layers.0.*.o_proj"], ["decoder.layers.0.attention.o_proj"]),
        (["*.gate_up"], ["decoder.layers.0.feed_forward.gate_up", "decoder.layers.1.feed_forward.gate_up"]),
        (["lm_head", "embed_tokens"], ["embed_tokens", "lm_head"]),
    ],
)
def test_targets_are_names_ends_of_names_and_patterns_of_ours_and_theirs(targets: list[str], layers: list[str]) -> None:
    model = adapt(build("llama"), AdapterConfig(targets=targets))
    assert [name for name, _ in adapted_layers(model)] == layers


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("llama", {"targets": ["q_prj"]}, r"'q_prj' is no layer of a LlamaForCausalLM .* did you mean q_proj\?"),
        ("llama", {"targets": ["decoder.norm"]}, r"means 'decoder.norm', a RMSNorm, which can have no pair"),
        ("gpt2", {"targets": ["lm_head"]}, r"'lm_head' means '.*', whose weight is that of both the embedding and"),
        ("gpt2", {"targets": ["wte"]}, r"'wte' means 'embed_tokens', whose weight is that of both"),
        ("transformer", {"targets": ["shared"]}, r"whose weight is that of both"),
        ("bert", {"modules_to_save": ["word_embeddings"]}, r"modules_to_save: .* whose weight is that of both"),
        ("bert", {"modules_to_save": ["headd"]}, r"'headd' is no module of a BertForPreTraining"),
        ("llama", {"modules_to_save": ["q_proj"]}, r"'q_proj' is a part of 'decoder.layers.0.attention.qkv.weight'"),
        ("mixtral", {"use_dora": True}, r"there is no DoRA on experts"),
        ("mixtral", {"targets": ["experts.0.w1"]}, r"means some of the experts of 'decoder.layers.0.feed_forward"),
    ],
)
def test_what_cannot_have_a_pair_is_told_in_a_sentence_and_nothing_changes(
    name: str, values: dict[str, object], message: str
) -> None:
    model = build(name)
    with pytest.raises(UserError, match=message) as told:
        adapt(model, AdapterConfig(**values))
    assert len(str(told.value)) <= 300
    assert not list(adapted_layers(model))
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_a_config_with_a_wrong_value_is_told_and_an_adapter_does_not_go_upon_another() -> None:
    with pytest.raises(UserError, match=r"adapter.rank = 0: Input should be greater than 0"):
        AdapterConfig.checked({"rank": 0})
    model = adapt(build("llama"), AdapterConfig())
    with pytest.raises(UserError, match="has an adapter already"):
        adapt(model, AdapterConfig())


def test_factors_are_drawn_by_their_names() -> None:
    """Whichever others there are; and as PEFT draws them: evenly, and within Kaiming's bound."""
    few = adapt(build("llama"), AdapterConfig(targets=["v_proj"]))
    many = adapt(build("llama"), AdapterConfig(targets=["all-linear", "embed_tokens"]))
    values = dict(many.named_parameters())
    for name, parameter in adapter_parameters(few):
        assert parameter.data.tobytes() == values[name].data.tobytes()
    factor = values["decoder.layers.0.attention.qkv.pairs.v_proj.lora_A"].data
    assert abs(factor).max() <= 32**-0.5
    assert factor.std() == pytest.approx(32**-0.5 / 3**0.5, rel=0.1)
    other = values["decoder.layers.1.attention.qkv.pairs.v_proj.lora_A"].data
    assert not np.array_equal(factor, other)


@pytest.mark.parametrize("name", ["llama", "bert"])
def test_rank_8_on_all_linear_layers_trains_under_two_percent(name: str) -> None:
    """Counted on the shapes of stories15M and of BERT base; nothing is drawn."""
    stories = {
        "vocab_size": 32000, "hidden_size": 288, "num_hidden_layers": 6, "num_attention_heads": 6,
        "num_key_value_heads": 6, "intermediate_size": 768, "tie_word_embeddings": True,
    }  # fmt: skip
    base = {
        "vocab_size": 30522, "hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12,
        "intermediate_size": 3072, "max_position_embeddings": 512,
    }  # fmt: skip
    config = models.config_from_dict({**LLAMA, **stories} if name == "llama" else {**BERT, **base})
    model = models.family_of(config.model_type).with_shapes_only(config)
    trained = sum(
        8 * (layer.in_features + part.stop - part.start)
        for _, layer, parts in choose(model, AdapterConfig(rank=8))
        for part in parts
        if part.has_pair
    )
    whole = sum(parameter.size for parameter in model.parameters())
    assert 0.005 < trained / whole < 0.02, trained / whole


def draw_float64(layer: Module, rng: np.random.Generator) -> None:
    """Other parameters in the place of those of the layer, in float64."""
    for _, module in layer.named_modules():
        for name, value in vars(module).items():
            if isinstance(value, Parameter):
                setattr(module, name, Parameter(rng.standard_normal(value.shape)))


def dense(layer: LoRALinear, x: Tensor) -> Tensor:
    """What a layer with pairs is to compute, from weights written out: W + scaling * B @ A, its rows of DoRA's length."""
    rows = []
    for part in layer.parts:
        weight = Tensor(layer.weight.data[part.start : part.stop])
        if part.has_pair:
            pair = layer.pairs[part.leaf]
            weight = weight + (pair.lora_B @ pair.lora_A) * pair.scaling
            if pair.magnitude is not None:
                weight = weight * (pair.magnitude / Tensor(lengths(weight.data, axis=1))).reshape(-1, 1)
        rows.append(weight)
    return F.linear(x, F.concatenate(rows, axis=0), layer.bias)


@settings(max_examples=25, deadline=None)
@given(
    in_features=st.integers(1, 6),
    rows=st.lists(st.tuples(st.integers(1, 5), st.booleans()), min_size=1, max_size=3),
    rank=st.integers(1, 4),
    bias=st.booleans(),
    use_dora=st.booleans(),
    use_rslora=st.booleans(),
    seed=st.integers(0, 2**16),
)
def test_layers_have_the_values_and_gradients_of_the_dense_sum(
    in_features: int, rows: list[tuple[int, bool]], rank: int, bias: bool, use_dora: bool, use_rslora: bool, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    config = AdapterConfig(rank=rank, alpha=3.0, use_dora=use_dora, use_rslora=use_rslora)
    ends = np.cumsum([count for count, _ in rows]).tolist()
    parts = [
        Part((f"layer.part{i}",), start, end, has)
        for i, (start, end, (_, has)) in enumerate(zip([0, *ends[:-1]], ends, rows, strict=True))
    ]
    layer = LoRALinear(Linear(in_features, ends[-1], bias=bias), parts, config)
    draw_float64(layer, rng)
    x = Tensor(rng.standard_normal((2, 3, in_features)), requires_grad=True)
    weights = Tensor(rng.standard_normal((2, 3, ends[-1])))
    assert config.scaling == 3.0 / (rank**0.5 if use_rslora else rank)

    results = []
    for compute in (layer, lambda x: dense(layer, x)):
        layer.weight.requires_grad = False
        out = compute(x)
        (out * weights).sum().backward()
        trained = [parameter for _, parameter in layer.named_parameters() if parameter is not layer.weight]
        results.append([out.data, x.grad.data, *(parameter.grad.data for parameter in trained)])
        x.grad = None
        layer.zero_grad()
    for ours, theirs in zip(*results, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(layer.changed_weight() @ x.data[0, 0] + (0 if layer.bias is None else layer.bias.data),
                               results[0][0][0, 0], rtol=1e-9, atol=1e-9)  # fmt: skip
    if not use_dora:  # whose lengths are constants of the backward pass, as the dense sum above has them
        pairs = [parameter for name, parameter in layer.named_parameters() if name.startswith("pairs.")]

        def run(x: Tensor, *_: Tensor) -> Tensor:
            return layer(x)

        gradcheck(run, (x, *pairs))


@pytest.mark.parametrize("use_dora", [False, True])
def test_an_embedding_has_the_values_and_gradients_of_the_dense_sum(use_dora: bool) -> None:
    rng = np.random.default_rng(0)
    part = Part(("embed_tokens",), 0, 7, True)
    layer = LoRAEmbedding(Embedding(7, 5), [part], AdapterConfig(rank=3, use_dora=use_dora))
    draw_float64(layer, rng)
    layer.weight.requires_grad = False
    ids, weights = Tensor(np.array([[1, 6, 1], [0, 3, 3]])), Tensor(rng.standard_normal((2, 3, 5)))
    (pair,) = layer.pairs.values()

    def table() -> Tensor:
        changed = Tensor(layer.weight.data) + (pair.lora_A @ pair.lora_B.T) * pair.scaling
        return changed if pair.magnitude is None else changed * (pair.magnitude / Tensor(lengths(changed.data, axis=0)))

    results = []
    for compute in (lambda: layer(ids), lambda: F.embedding(table(), ids)):
        out = compute()
        (out * weights).sum().backward()
        results.append([out.data, *(p.grad.data for _, p in layer.named_parameters() if p is not layer.weight)])
        layer.zero_grad()
    for ours, theirs in zip(*results, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(layer.changed_weight(), table().data, rtol=1e-12, atol=1e-12)


def test_experts_have_the_values_and_gradients_of_the_dense_sum() -> None:
    rng = np.random.default_rng(0)
    parts = [Part(("e.0.w1", "e.1.w1", "e.2.w1"), 0, 4, True), Part(("e.0.w3", "e.1.w3", "e.2.w3"), 4, 8, False)]
    layer = LoRAGroupedLinear(GroupedLinear(Linear(5, 8), 3), parts, AdapterConfig(rank=2))
    draw_float64(layer, rng)
    layer.weight.requires_grad = False
    counts, x = np.array([2, 0, 3]), Tensor(rng.standard_normal((5, 5)), requires_grad=True)
    pair, weights = layer.pairs["w1"], Tensor(rng.standard_normal((5, 8)))

    def whole(x: Tensor) -> Tensor:
        delta = F.concatenate([(pair.lora_B @ pair.lora_A) * pair.scaling, Tensor(np.zeros((3, 4, 5)))], axis=1)
        return F.grouped_linear(x, Tensor(layer.weight.data) + delta, layer.bias.reshape(3, -1), counts=counts)

    results = []
    for compute in (lambda x: layer(x, counts), whole):
        out = compute(x)
        (out * weights).sum().backward()
        results.append([out.data, x.grad.data, pair.lora_A.grad.data, pair.lora_B.grad.data, layer.bias.grad.data])
        x.grad = None
        layer.zero_grad()
    for ours, theirs in zip(*results, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-9)


def test_frozen_weights_get_no_gradient_and_dropout_stands_before_the_pairs_alone() -> None:
    model = disturb(adapt(build("llama"), AdapterConfig(rank=4, dropout=0.5)))
    whole = logits(model)
    assert logits(model).tobytes() == whole.tobytes()  # evaluated, nothing is dropped
    model.train()
    assert not np.allclose(logits(model), whole)
    ids = Tensor(ids_of(model))
    output_cross_entropy(model.lm_head, model.hidden_states(ids), ids).backward()
    trained = dict(adapter_parameters(model))
    for name, parameter in model.named_parameters():
        assert (parameter.grad is not None) == (name in trained), name


def test_recomputation_gives_the_gradients_that_remembering_gives() -> None:
    gradients = []
    for every in (0, 1):
        model = disturb(adapt(build("llama"), AdapterConfig(rank=4, dropout=0.3, targets=["all-linear", "lm_head"])))
        model.train()
        model.recompute_every = every
        ids = Tensor(ids_of(model))
        with fork_rng(RngState(0, 1, 0)):
            output_cross_entropy(model.lm_head, model.hidden_states(ids), ids).backward()
        gradients.append({name: p.grad.data.tobytes() for name, p in adapter_parameters(model)})
    assert gradients[0] == gradients[1]


def test_an_adapted_output_layer_has_the_loss_of_its_logits() -> None:
    model = disturb(adapt(build("llama"), AdapterConfig(rank=4, targets=["lm_head"])))
    ids = Tensor(ids_of(model))
    hidden_states = model.hidden_states(ids)
    loss = output_cross_entropy(model.lm_head, hidden_states, ids)
    direct = F.cross_entropy(model(ids).reshape(-1, 61), ids.reshape(-1), reduction="sum")
    assert loss.item() == pytest.approx(direct.item(), rel=1e-6)
