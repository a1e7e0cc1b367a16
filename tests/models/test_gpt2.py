"""GPT-2: its size, files in both directions, and what may change no bit."""

import json

import numpy as np
import pytest

from scratchgrad import Tensor, UserError, manual_seed, models, no_grad
from scratchgrad.models import GPT2Config
from tests.models import checks, decoders
from tests.models.parity import check_both_directions

SMALL = {"vocab_size": 50, "n_positions": 32, "n_embd": 16, "n_layer": 3, "n_head": 4}
TYING = pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
rng = np.random.default_rng(0)


def small(dropout: float = 0.0, **changes):
    manual_seed(0)
    model = models.build(GPT2Config.checked({**SMALL, **changes}), dropout=dropout)
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            parameter.data = rng.standard_normal(parameter.shape, np.float32)  # biases that would be missed
    return model


def test_the_smallest_gpt2_has_its_number_of_parameters_and_its_initial_spread():
    manual_seed(0)
    model = models.build(GPT2Config(vocab_size=50257, max_position_embeddings=1024, n_embd=768, n_layer=12, n_head=12))
    assert sum(p.size for p in model.parameters()) == 124_439_808
    state = model.state_dict()
    assert state["decoder.layers.3.attention.qkv.weight"].std() == pytest.approx(0.02, rel=0.01)
    for part in ("attention.o_proj", "feed_forward.down_proj"):
        assert state[f"decoder.layers.3.{part}.weight"].std() == pytest.approx(0.02 / 24**0.5, rel=0.01)


@TYING
def test_what_we_save_opens_in_transformers_and_what_it_saves_opens_here(tied, tmp_path):
    model = small(tie_word_embeddings=tied, n_inner=24)
    again = check_both_directions(model, {"input_ids": rng.integers(0, 50, (2, 9))}, tmp_path)
    assert again.config == model.config


@TYING
def test_a_model_directory_gives_the_model_back(tied, tmp_path):
    model = small(tie_word_embeddings=tied)
    checks.check_saving(model, tmp_path)
    told = json.loads((tmp_path / "config.json").read_text())
    assert (told["architectures"], told["n_positions"]) == (["GPT2LMHeadModel"], 32)
    assert "max_position_embeddings" not in told


@pytest.mark.parametrize("every", [1, 2, 3])
def test_recomputation_keeps_every_bit_also_with_dropout(every):
    def build():
        rng.bit_generator.state = np.random.default_rng(1).bit_generator.state
        return small(dropout=0.2)

    checks.check_recomputation(build, decoders.batch(50), every)


def test_a_cache_changes_nothing_and_the_context_has_an_end():
    model, ids = small(), rng.integers(0, 50, (2, 33))
    decoders.check_cache(model, ids[:, :32])
    with no_grad(), pytest.raises(ValueError, match="position 32 lies beyond the context of 32 tokens"):
        model(Tensor(ids))


@pytest.mark.parametrize(("changes", "words"), [
    ({"n_embd": 18}, "model.n_embd = 18 is not divisible by 4 attention heads"),
    ({"activation_function": "tanh"}, "model.activation_function = 'tanh' asks for a feature that is not supported"),
    ({"scale_attn_by_inverse_layer_idx": True}, "model.scale_attn_by_inverse_layer_idx = True asks for a feature"),
    ({"add_cross_attention": True}, "model.add_cross_attention = True asks for a feature"),
    ({"n_layers": 3}, "did you mean model.n_layer"),
    ({"n_layer": 10**9}, "model.n_layer = 1000000000: Input should be less than"),
    ({"n_positions": 0}, "model.max_position_embeddings = 0"),
])  # fmt: skip
def test_a_config_that_cannot_be_is_refused(changes, words):
    with pytest.raises(UserError, match=words):
        models.config_from_dict({"model_type": "gpt2", **SMALL, **changes})
