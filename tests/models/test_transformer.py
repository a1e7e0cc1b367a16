"""The Transformer as it was first described: its parts by the paper, and what changes no bit."""

import math

import numpy as np
import pytest

from scratchgrad import Tensor, UserError, manual_seed, models, no_grad
from scratchgrad.models import TransformerConfig
from tests.models import checks, encoder_decoders

SMALL = {
    "vocab_size": 40, "max_position_embeddings": 16, "d_model": 16, "d_ff": 24, "num_layers": 3, "num_heads": 4,
    "decoder_start_token_id": 5,
}  # fmt: skip


def small(dropout: float = 0.0, **changes):
    manual_seed(0)
    return models.build(TransformerConfig.checked({**SMALL, **changes}), dropout=dropout)


def test_the_base_model_has_about_the_papers_number_of_parameters():
    """Table 3: 65 million, with the shared vocabulary of about 37,000 of section 5.1."""
    manual_seed(0)
    config = TransformerConfig(
        vocab_size=37000, max_position_embeddings=64, d_model=512, d_ff=2048, num_layers=1, num_heads=8,
        num_decoder_layers=1,
    )  # fmt: skip
    model = models.build(config)
    of_layers = sum(p.size for stack in (model.encoder, model.decoder) for p in stack.parameters())
    assert of_layers + model.embed_tokens.weight.size == sum(p.size for p in model.parameters())
    assert 6 * of_layers + model.embed_tokens.weight.size == pytest.approx(65e6, rel=0.05)


def test_embeddings_are_scaled_and_positions_are_added():
    model, ids = small(), np.array([[3, 3, 7]])
    with no_grad():
        embedded = model.embed(Tensor(ids), Tensor(np.arange(2, 5))).data
    for place, token in enumerate(ids[0]):
        angles = (2 + place) / 10000 ** (np.arange(8) / 8)
        positions = np.stack([np.sin(angles), np.cos(angles)], 1).ravel()
        wanted = model.embed_tokens.weight.data[token] * math.sqrt(16) + positions
        np.testing.assert_allclose(embedded[0, place], wanted, rtol=1e-5, atol=1e-6)


def test_a_text_longer_than_the_context_is_told():
    with pytest.raises(ValueError, match="position 16 lies beyond the context of 16 tokens"):
        small().encode(Tensor(np.zeros((1, 17), np.int64)))


def test_a_model_directory_gives_the_model_back(tmp_path):
    checks.check_saving(small(), tmp_path)


@pytest.mark.parametrize("every", [1, 2, 3])
def test_recomputation_keeps_every_bit_also_with_dropout(every):
    checks.check_recomputation(lambda: small(dropout=0.2), encoder_decoders.batch(40), every)


def test_a_source_that_is_filled_up_says_what_it_says_alone():
    encoder_decoders.check_padding(small())


def test_a_later_token_changes_nothing_before_it():
    encoder_decoders.check_causality(small())


def test_token_by_token_the_cache_gives_what_the_whole_gives():
    encoder_decoders.check_cache(small())


def test_texts_of_unlike_lengths_go_on_as_one_batch():
    encoder_decoders.check_joined_caches(small())


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.3])
def test_the_loss_is_the_smoothed_negative_log_probability_of_the_logits(smoothing):
    encoder_decoders.check_loss(small(), smoothing)


@pytest.mark.parametrize(("changes", "words"), [
    ({"d_model": 18}, "model.d_model = 18 is not divisible by 4 attention heads"),
    ({"d_model": 15}, "model.d_model = 15"),
    ({"num_layer": 2}, "did you mean model.num_layers"),
])  # fmt: skip
def test_a_config_that_cannot_be_is_refused(changes, words):
    with pytest.raises(UserError, match=words):
        models.config_from_dict({"model_type": "transformer", **SMALL, **changes})
