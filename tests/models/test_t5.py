"""T5, of both versions: files in both directions, its positions, and what may change no bit."""

import json

import numpy as np
import pytest

from scratchgrad import Tensor, UserError, manual_seed, models, no_grad
from scratchgrad.models import T5Config
from tests.models import checks, encoder_decoders
from tests.models.parity import check_both_directions

SMALL = {
    "vocab_size": 40, "d_model": 16, "d_kv": 6, "d_ff": 24, "num_layers": 3, "num_heads": 4,
    "relative_attention_num_buckets": 8, "relative_attention_max_distance": 12, "decoder_start_token_id": 5,
}  # fmt: skip
V1_1 = {"feed_forward_proj": "gated-gelu", "tie_word_embeddings": False}
VERSIONS = pytest.mark.parametrize("version", [{}, V1_1], ids=["v1.0", "v1.1"])


def small(changes=None, dropout: float = 0.0):
    manual_seed(0)
    model = models.build(T5Config.checked({**SMALL, **(changes or {})}), dropout=dropout)
    for bias in (model.encoder_bias, model.decoder_bias):
        bias.table.weight.data *= 5  # positions that would be missed
    return model


@VERSIONS
def test_what_we_save_opens_in_transformers_with_equal_logits(version, tmp_path):
    model = small(version)
    again = check_both_directions(model, encoder_decoders.batch(40), tmp_path)
    assert again.config.scale_decoder_outputs == model.config.scale_decoder_outputs


def test_transformers_writes_what_we_write(tmp_path):
    """Its generate() begins as generation_config.json says."""
    torch = pytest.importorskip("torch", reason="the extra parity is not installed")
    transformers = pytest.importorskip("transformers", reason="the extra parity is not installed")
    model, ids = small(V1_1), encoder_decoders.batch(40)["input_ids"][1:]
    end = 39
    models.save(model, tmp_path, model.generation_config(end))
    theirs = transformers.T5ForConditionalGeneration.from_pretrained(tmp_path).eval()
    wanted = theirs.generate(torch.tensor(ids), max_new_tokens=8, do_sample=False)[0].tolist()
    written = [model.config.decoder_start_token_id]
    with no_grad():
        encoder_hidden_states = model.eval().encode(Tensor(ids))
        while len(written) < 9 and written[-1] != end:
            written.append(int(model.decode(Tensor(np.array([written])), None, encoder_hidden_states).data.argmax()))
    assert len(set(written)) > 3
    assert written == wanted


@VERSIONS
def test_a_model_directory_gives_the_model_back(version, tmp_path):
    checks.check_saving(small(version), tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["architectures"] == ["T5ForConditionalGeneration"]


@VERSIONS
@pytest.mark.parametrize("every", [1, 2, 3])
def test_recomputation_keeps_every_bit_also_with_dropout(version, every):
    checks.check_recomputation(lambda: small(version, dropout=0.2), encoder_decoders.batch(40), every)


def test_the_biases_of_both_stacks_and_the_encoder_get_their_gradient():
    model = small()
    checks.loss(model, encoder_decoders.batch(40)).backward()
    for part in (model.encoder_bias, model.decoder_bias, model.encoder):
        assert all(np.abs(parameter.grad).max() > 1e-3 for parameter in part.parameters())


def test_a_source_that_is_filled_up_says_what_it_says_alone():
    encoder_decoders.check_padding(small())


def test_a_later_token_changes_nothing_before_it():
    encoder_decoders.check_causality(small())


def test_token_by_token_the_cache_gives_what_the_whole_gives():
    encoder_decoders.check_cache(small())


def test_texts_of_unlike_lengths_go_on_as_one_batch():
    encoder_decoders.check_joined_caches(small())


def test_the_loss_is_the_negative_log_probability_of_the_logits():
    encoder_decoders.check_loss(small(), smoothing=0.0)


def test_a_t5_of_the_hub_opens_with_what_its_config_says_beside():
    hub = {
        **SMALL, "model_type": "t5", "n_positions": 64, "num_decoder_layers": None, "is_encoder_decoder": True,
    }  # fmt: skip
    config = models.config_from_dict(hub)
    assert (config.max_position_embeddings, config.num_decoder_layers, config.scale_decoder_outputs) == (64, 3, True)


@pytest.mark.parametrize(("changes", "words"), [
    ({"feed_forward_proj": "gated-silu"}, "model.feed_forward_proj = 'gated-silu' asks for a feature"),
    ({"is_encoder_decoder": False}, "model.is_encoder_decoder = False asks for a feature"),
    ({"relative_attention_max_distance": 4}, "is too small for 8 buckets"),
    ({"d_kv": 0}, "model.d_kv = 0"),
    ({"pad_token_id": 40}, "model.pad_token_id = 40 is none of the 40 tokens"),
    ({"decoder_start_token_id": 41}, "model.decoder_start_token_id = 41 is none of the 40 tokens"),
    ({"d_modell": 8}, "did you mean model.d_model"),
])  # fmt: skip
def test_a_config_that_cannot_be_is_refused(changes, words):
    with pytest.raises(UserError, match=words):
        models.config_from_dict({"model_type": "t5", **SMALL, **changes})
