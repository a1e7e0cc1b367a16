"""Mixtral: files in both directions."""

import json

import numpy as np
import pytest

from scratchgrad import Tensor, UserError, manual_seed, models, no_grad
from scratchgrad.models import MixtralConfig
from scratchgrad.models.auxiliary import AuxOutputs
from tests.models.parity import Example, check_both_directions

SMALL = {
    "vocab_size": 50, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
    "intermediate_size": 24, "max_position_embeddings": 32, "num_local_experts": 5, "num_experts_per_tok": 3,
}  # fmt: skip
ids = np.random.default_rng(0).integers(0, 50, (2, 20))


def small(**changes):
    manual_seed(0)
    model = models.build(MixtralConfig.checked({**SMALL, **changes}))
    for parameter in model.parameters():
        parameter.data = parameter.data * (8 if parameter.ndim > 1 else 1)
    return model


def test_the_example_of_transformers_asks_for_the_balance_of_its_router():
    example = Example.saved("mixtral")
    assert example.config["router_aux_loss_coef"] == 0.1
    assert any("gate.weight" in name and np.abs(g).max() > 1e-3 for name, g in example.gradients.items())


@pytest.mark.parametrize("tied", [False, True])
def test_what_we_save_opens_in_transformers_with_equal_logits_and_what_it_saves_opens_here(tmp_path, tied):
    model = small(tie_word_embeddings=tied, capacity_factor=1.25)  # drops in training alone
    again = check_both_directions(model, {"input_ids": ids}, tmp_path)
    assert again.config == model.config
    config = json.loads((tmp_path / "config.json").read_text())
    assert (config["model_type"], config["architectures"]) == ("mixtral", ["MixtralForCausalLM"])
    assert model.hugging_face_refusal() is None


def test_the_loss_of_each_layer_is_that_of_transformers_for_that_layer():
    torch = pytest.importorskip("torch", reason="the extra parity is not installed")
    theirs = pytest.importorskip(
        "transformers.models.mixtral.modeling_mixtral", reason="the extra parity is not installed"
    )
    model, aux, logits = small(router_aux_loss_coef=1.0), AuxOutputs(), []
    for layer in model.decoder.layers:
        router = layer.feed_forward.router
        forward = router.forward
        router.forward = lambda x, forward=forward: logits.append(forward(x)) or logits[-1]
    model.hidden_states(Tensor(ids), aux=aux)
    for ours, gate in zip(aux.losses, logits, strict=True):
        wanted = theirs.load_balancing_loss_func((torch.tensor(gate.data),), 5, 3)
        assert ours.item() == pytest.approx(wanted.item(), rel=1e-5)


def test_token_by_token_the_cache_gives_what_the_whole_gives():
    model = small(capacity_factor=0.5).eval()
    with no_grad():
        whole, cache = model(Tensor(ids)).data, model.new_cache(len(ids))
        steps = [model.decode(Tensor(ids[:, i : i + 1]), cache).data for i in range(20)]
    np.testing.assert_allclose(np.stack(steps, axis=1), whole, atol=1e-4)


def test_a_config_of_the_hub_is_read():
    hub = {
        **SMALL, "model_type": "mixtral", "rope_parameters": {"rope_type": "default", "rope_theta": 1e6},
        "sliding_window": None, "head_dim": None, "router_jitter_noise": 0.0,
    }  # fmt: skip
    unsaid = {name: value for name, value in hub.items() if name != "num_local_experts"}
    assert models.config_from_dict(unsaid).num_local_experts == 8
    assert models.config_from_dict(hub) == MixtralConfig.checked({**SMALL, "rope_theta": 1e6})
    with pytest.raises(UserError, match=r"rope_parameters = .* asks for a feature that is not supported"):
        models.config_from_dict({**hub, "rope_parameters": {"rope_type": "yarn", "rope_theta": 1e6, "factor": 4.0}})
