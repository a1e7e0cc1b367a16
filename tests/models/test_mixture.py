"""The mixture of experts: what it computes, by definition; what it drops; and that the dense model is one expert."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scratchgrad import Tensor, UserError, gradcheck, manual_seed, models, no_grad
from scratchgrad.models import LlamaConfig, MixtureOfExperts
from scratchgrad.models.auxiliary import AuxOutputs
from scratchgrad.models.feed_forward import FeedForward, GatedFeedForward
from scratchgrad.models.mixture import GroupedLinear, build_feed_forward
from tests.models import checks

SIZES = {
    "vocab_size": 50, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
    "intermediate_size": 24, "max_position_embeddings": 32,
}  # fmt: skip
rng = np.random.default_rng(0)


def config(experts, k, **changes):
    return LlamaConfig.checked({**SIZES, "num_local_experts": experts, "num_experts_per_tok": k, **changes})


def mixture(experts=4, k=2, *, hidden=6, dense=None, dtype=np.float64, **changes) -> MixtureOfExperts:
    """A layer with weights far from zero, so that its router is sure of itself."""
    manual_seed(0)
    layer = build_feed_forward(config(experts, k, **changes), dense or (lambda: GatedFeedForward(hidden, 5, "silu")))
    draw = np.random.default_rng(3)
    for parameter in layer.parameters():
        parameter.data = (draw.standard_normal(parameter.shape) * 0.7).astype(dtype)
    return layer


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def expert(layer, number, x):
    """What one expert makes of rows, in plain NumPy."""
    gate, up = np.split(x @ layer.experts["gate_up"].weight.data[number].T, 2, axis=-1)
    return (gate / (1 + np.exp(-gate)) * up) @ layer.experts["down_proj"].weight.data[number].T


def by_definition(layer, x, k, normalize, room=None):
    """Token by token, choice by choice; the number of choices that found no room."""
    out, taken, dropped = np.zeros_like(x), [0] * layer.router.weight.shape[0], 0
    for t, p in enumerate(softmax(x @ layer.router.weight.data.T)):
        best = sorted(range(len(p)), key=lambda e: -p[e])[:k]
        for e in best:
            if room is not None and taken[e] == room:
                dropped += 1
                continue
            taken[e] += 1
            out[t] += p[e] / (sum(p[b] for b in best) if normalize else 1) * expert(layer, e, x[t])
    return out, dropped


@settings(max_examples=40)
@given(st.integers(1, 5), st.data(), st.booleans(), st.integers(1, 12))
def test_it_is_the_weighted_sum_of_the_most_probable_experts(experts, data, normalize, tokens):
    k = data.draw(st.integers(1, experts))
    factor = data.draw(st.sampled_from([None, 0.3, 0.75, 1.0, 1.5]))
    layer = mixture(experts, k, norm_topk_prob=normalize, capacity_factor=factor)
    x, aux = rng.standard_normal((1, tokens, 6)), AuxOutputs()
    out = layer(Tensor(x), aux).data[0]
    room = None if factor is None else math.ceil(factor * tokens * k / experts)
    wanted, dropped = by_definition(layer, x[0], k, normalize, room)
    np.testing.assert_allclose(out, wanted, atol=1e-12)
    load = aux.loads[layer]
    assert int(load.dropped) == dropped
    chosen = np.argsort(-(x[0] @ layer.router.weight.data.T), kind="stable")[:, :k]
    assert load.tokens_per_expert.tolist() == np.bincount(chosen.reshape(-1), minlength=experts).tolist()


def test_as_many_choices_as_experts_are_the_weighted_sum_of_all_dense_parts():
    layer, x = mixture(4, 4), rng.standard_normal((2, 5, 6))
    wanted = sum(
        softmax(x @ layer.router.weight.data.T)[..., n, None] * expert(layer, n, x) for n in range(4)
    )  # fmt: skip
    np.testing.assert_allclose(layer(Tensor(x), AuxOutputs()).data, wanted, atol=1e-12)


@pytest.mark.parametrize("recompute_every", [0, 1])
@pytest.mark.parametrize("normalize", [True, False])
def test_one_expert_is_the_dense_model_bit_for_bit(normalize, recompute_every):
    """At sizes where products are cut into blocks."""
    sizes = {**SIZES, "hidden_size": 72, "intermediate_size": 301, "max_position_embeddings": 300}
    ids, targets = np.random.default_rng(5).integers(0, 50, (2, 2, 300))
    manual_seed(1)
    dense = models.build(LlamaConfig.checked(sizes))
    changes = {
        "num_local_experts": 1,
        "num_experts_per_tok": 1,
        "norm_topk_prob": normalize,
        "router_aux_loss_coef": 0.0,
    }
    sparse = models.build(LlamaConfig.checked({**sizes, **changes}))
    state = dense.state_dict()
    sparse.load_state_dict({
        name: state[name] if name in state else state[name.replace("experts.", "")][None]
        if "experts" in name else parameter.data for name, parameter in sparse.named_parameters()
    })  # fmt: skip
    losses = []
    for model in (dense, sparse):
        model.recompute_every = recompute_every
        loss = checks.loss(model, {"input_ids": ids, "targets": targets})
        loss.backward()
        losses.append(loss.item())
    assert losses[0] == losses[1]
    gradients = {name.replace("experts.", ""): p.grad for name, p in sparse.named_parameters()}
    for name, parameter in dense.named_parameters():
        assert np.array_equal(gradients[name].reshape(parameter.shape), parameter.grad), name


@pytest.mark.parametrize("changes", [
    {}, {"k": 1, "norm_topk_prob": False}, {"k": 3}, {"k": 1, "norm_topk_prob": False, "capacity_factor": 0.5},
    {"dense": lambda: FeedForward(6, 5, "gelu_new", bias=True)}, {"router_z_loss_coef": 0.1, "router_aux_loss_coef": 0.3},
])  # fmt: skip
def test_the_gradients_of_the_whole_layer_are_right(changes):
    """The values keep the two best experts of every token apart, so that no difference quotient crosses a tie."""
    layer = mixture(**changes)
    x = np.random.default_rng(6).standard_normal((9, 6))
    probabilities = np.sort(softmax(x @ layer.router.weight.data.T))
    assert np.diff(probabilities, axis=-1).min() > 1e-4
    names, parameters = zip(*layer.named_parameters(), strict=True)

    def call(x, *tensors):
        holders = dict(layer.named_modules())
        for name, tensor in zip(names, tensors, strict=True):
            module, _, attribute = name.rpartition(".")
            setattr(holders[module], attribute, tensor)
        aux = AuxOutputs()
        out = layer(x, aux)
        return out * out + aux.mean_loss()

    gradcheck(call, Tensor(x, True), *(Tensor(p.data, True) for p in parameters), rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("changes", [{}, {"k": 1, "norm_topk_prob": False}])
def test_gradients_reach_the_router_through_the_weights_and_through_its_losses(changes):
    x = Tensor(rng.standard_normal((9, 6)))
    layer = mixture(**changes)
    layer(x, AuxOutputs()).sum().backward()
    assert np.abs(layer.router.weight.grad).max() > 1e-3
    for coefficient in ("router_aux_loss_coef", "router_z_loss_coef"):
        layer = mixture(**{"router_aux_loss_coef": 0.0, coefficient: 1.0, **changes})
        aux = AuxOutputs()
        layer(x, aux)
        aux.mean_loss().backward()
        assert np.abs(layer.router.weight.grad).max() > 1e-3
        assert layer.experts["gate_up"].weight.grad is None


def test_the_losses_are_those_of_the_papers():
    layer, x, aux = (
        mixture(router_aux_loss_coef=0.25, router_z_loss_coef=0.5),
        rng.standard_normal((11, 6)),
        AuxOutputs(),
    )
    layer(Tensor(x), aux)
    logits = x @ layer.router.weight.data.T
    share = np.bincount(np.argsort(-logits)[:, :2].reshape(-1), minlength=4) / 11  # adds up to k
    balance = 4 * share @ softmax(logits).mean(0)
    z = np.mean(np.log(np.exp(logits).sum(-1)) ** 2)
    assert aux.losses[0].item() == pytest.approx(0.25 * balance + 0.5 * z, rel=1e-12)


def test_tokens_in_another_order_give_results_in_that_order():
    layer, x = mixture(dtype=np.float32), rng.standard_normal((1, 200, 6)).astype(np.float32)
    order = rng.permutation(200)
    out, moved = layer(Tensor(x), AuxOutputs()).data, layer(Tensor(x[:, order]), AuxOutputs()).data
    np.testing.assert_allclose(moved, out[:, order], rtol=1e-5, atol=1e-6)


def test_a_token_without_room_gives_zeros_and_what_comes_later_takes_nobodys_place():
    layer, x = mixture(2, 1, capacity_factor=0.5), np.ones((1, 8, 6))
    aux = AuxOutputs()
    out = layer(Tensor(x), aux).data[0]
    assert np.all(out[:2] != 0)
    assert np.all(out[2:] == 0)
    assert int(aux.loads[layer].dropped) == 6
    assert sorted(aux.loads[layer].tokens_per_expert.tolist()) == [0, 8]
    layer.eval()
    assert np.all(layer(Tensor(x), aux).data != 0), "nothing is dropped but in training"
    assert int(aux.loads[layer].dropped) == 0


@pytest.mark.parametrize(("factor", "rows"), [(None, 80), (0.5, 40)])
def test_an_expert_multiplies_the_tokens_that_chose_it_and_no_others(factor, rows, monkeypatch):
    layer, seen = mixture(4, 2, capacity_factor=factor), []
    product = GroupedLinear.forward
    monkeypatch.setattr(
        GroupedLinear, "forward", lambda self, x, counts: seen.append((len(x), counts)) or product(self, x, counts)
    )
    aux = AuxOutputs()
    layer(Tensor(rng.standard_normal((2, 20, 6))), aux)
    room = 10 if factor else 80
    for count, counts in seen:
        assert count == counts.sum() <= rows
        assert counts.tolist() == np.minimum(aux.loads[layer].tokens_per_expert, room).tolist()


def small(**changes):
    manual_seed(0)
    model = models.build(config(4, 2, num_hidden_layers=3, router_z_loss_coef=0.01, **changes), dropout=0.2)
    for name, parameter in model.named_parameters():
        if "router" in name:
            parameter.data = parameter.data * 20
    return model


@pytest.mark.parametrize("every", [1, 2])
@pytest.mark.parametrize("factor", [None, 0.8])
def test_recomputation_keeps_every_bit_also_of_the_losses_beside(every, factor):
    ids, targets = np.random.default_rng(2).integers(0, 50, (2, 2, 32))
    batch = {"input_ids": ids, "targets": targets}
    aux = checks.check_recomputation(lambda: small(capacity_factor=factor), batch, every)
    assert (aux.metrics()["dropped_tokens"].sum() > 0) == (factor is not None)


def test_the_loss_is_the_dense_one_and_the_mean_of_the_layers_own_times_the_targets():
    model, ids, targets = small(), np.zeros((1, 32), int), np.arange(32)[None]
    targets[0, :5] = -100
    model = small()
    for _, module in model.named_modules():
        if hasattr(module, "p"):
            module.p = 0.0
    aux = AuxOutputs()
    with no_grad():
        model.hidden_states(Tensor(ids), aux=aux)
        batch = {"input_ids": ids, "targets": targets}
        whole, plain = checks.loss(model, batch).item(), checks.loss(model.eval(), batch).item()
    assert len(aux.losses) == 3
    assert whole - plain == pytest.approx(27 * np.mean([loss.item() for loss in aux.losses]), rel=1e-3)
    assert aux.metrics()["expert_load"].shape == (3, 4)
    assert aux.metrics()["expert_load"].sum(1).tolist() == [64] * 3


@pytest.mark.parametrize("tied", [True, False])
def test_a_llama_with_experts_has_a_type_of_its_own_on_disk_and_comes_back(tmp_path, tied):
    model = small(tie_word_embeddings=tied, capacity_factor=1.5)
    models.save(model, tmp_path)
    assert '"model_type": "scratchgrad_moe_llama"' in (tmp_path / "config.json").read_text()
    again = models.load(tmp_path)
    assert again.config == model.config
    assert all(np.array_equal(a, again.state_dict()[name]) for name, a in model.state_dict().items())
    assert model.hugging_face_refusal() == "Hugging Face has no class for a llama with experts"
    manual_seed(0)
    dense = models.build(LlamaConfig.checked(SIZES))
    assert dense.hugging_face_refusal() is None
    assert "num_local_experts" not in dense.config.model_dump()


def test_experts_with_biases_are_found_in_files_too():
    """Both directions of the weight map for parts that have biases, as other families do."""
    from scratchgrad.models.experts import with_experts
    from scratchgrad.models.weights import HFTensor, to_hugging_face

    layer = mixture(dense=lambda: FeedForward(6, 5, "gelu", bias=True))
    names = with_experts(
        {
            "layers.0.feed_forward.up_proj.weight": [HFTensor("h.0.mlp.c_fc.weight", 5, is_transposed=True)],
            "layers.0.feed_forward.up_proj.bias": [HFTensor("h.0.mlp.c_fc.bias", 5)],
            "layers.0.feed_forward.down_proj.weight": [HFTensor("h.0.mlp.c_proj.weight", 6, is_transposed=True)],
            "layers.0.feed_forward.down_proj.bias": [HFTensor("h.0.mlp.c_proj.bias", 6)],
        },
        config(4, 2),
    )
    state = {f"layers.0.feed_forward.{name}": array for name, array in layer.state_dict().items()}
    assert names.keys() == state.keys()
    tensors = to_hugging_face(state, names)
    assert len(tensors) == 4 * 4 + 1
    assert tensors["h.0.mlp.router.weight"].shape == (4, 6)
    up = layer.experts["up_proj"]
    assert np.array_equal(tensors["h.0.mlp.experts.2.c_fc.weight"], up.weight.data[2].T)
    assert np.array_equal(tensors["h.0.mlp.experts.2.c_fc.bias"], up.bias.data[10:15])


@pytest.mark.parametrize(("changes", "words"), [
    ({"num_experts_per_tok": 5}, "model.num_experts_per_tok = 5 is more than model.num_local_experts = 4"),
    ({"num_local_experts": None}, "model.num_experts_per_tok is for experts: it needs model.num_local_experts"),
    ({"capacity_factor": 0.0}, "model.capacity_factor = 0.0"),
    ({"capacity_facto": 1.0}, "did you mean model.capacity_factor"),
    ({"model_type": "scratchgrad_moe_llama", "num_local_experts": None, "num_experts_per_tok": None}, "num_local_experts is missing"),
    ({"model_type": "mixtral", "norm_topk_prob": False}, "norm_topk_prob = False asks for a feature that is not supported"),
    ({"model_type": "mixtral", "sliding_window": 128}, "sliding_window = 128 asks for a feature that is not supported"),
    ({"model_type": "mixtral", "router_jitter_noise": 0.1}, "router_jitter_noise = 0.1"),
])  # fmt: skip
def test_a_config_that_cannot_be_is_refused(changes, words):
    with pytest.raises(UserError, match=words):
        models.config_from_dict({
            "model_type": "llama", **SIZES, "num_local_experts": 4, "num_experts_per_tok": 2, **changes
        })  # fmt: skip
