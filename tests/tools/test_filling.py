"""Masks are filled from both sides."""

import numpy as np
import pytest

from scratchgrad import Tensor, UserError, manual_seed, models, no_grad
from scratchgrad.tools.generation import fill_masks
from scratchgrad.tools.tokenizer import train_bpe

tokenizer = train_bpe(
    ["the cat sat on the mat, and the dog sat on the log.\n"] * 9, 290,
    special_tokens=("<|endoftext|>", "[PAD]", "[CLS]", "[SEP]", "[MASK]"),
)  # fmt: skip


@pytest.fixture(scope="module")
def bert():
    manual_seed(0)
    config = {
        "model_type": "bert", "architectures": ["BertForMaskedLM"], "vocab_size": tokenizer.vocab_size,
        "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64,
        "max_position_embeddings": 24,
    }  # fmt: skip
    model = models.build(models.config_from_dict(config), architectures=["BertForMaskedLM"])
    for name, parameter in model.named_parameters():
        if "norm" not in name:
            parameter.data *= 8
    return model


def test_each_mask_gets_its_likeliest_token_and_all_candidates_have_their_probabilities(bert):
    special = tokenizer.special_tokens
    filled, masks = fill_masks(bert, tokenizer, "the[MASK] sat on[MASK]", 5)
    ids = [special["[CLS]"], *tokenizer.encode("the[MASK] sat on[MASK]", ["[MASK]"]), special["[SEP]"]]
    places = [n for n, token in enumerate(ids) if token == special["[MASK]"]]
    with no_grad():
        logits = bert.eval()(Tensor(np.array([ids]))).data[0, places].astype(np.float64)
    chances = np.exp(logits - logits.max(-1, keepdims=True))
    chances /= chances.sum(-1, keepdims=True)
    chances[:, list(special.values())] = -1
    for candidates, row in zip(masks, chances, strict=True):
        best = np.argsort(-row)[:5]
        assert [c.text for c in candidates] == [tokenizer.decode([token]) for token in best]
        np.testing.assert_allclose([c.probability for c in candidates], row[best], rtol=1e-5)
    assert filled == f"the{masks[0][0].text} sat on{masks[1][0].text}"


def test_what_cannot_be_filled_is_said(bert):
    with pytest.raises(UserError, match=r"has no \[MASK\]"):
        fill_masks(bert, tokenizer, "the cat")
    with pytest.raises(UserError, match="has 32 tokens, and the model's context holds 24"):
        fill_masks(bert, tokenizer, "[MASK]" * 30)
    with pytest.raises(UserError, match=r"no special token \[MASK\]"):
        fill_masks(bert, train_bpe(["a text"], 262), "the [MASK]")


def test_scores_that_are_not_finite_are_said(bert, monkeypatch):
    weight = bert.embed_tokens.weight
    monkeypatch.setattr(weight, "data", np.full_like(weight.data, np.nan))
    with pytest.raises(UserError, match="the model's scores for a token are not finite: its weights are damaged"):
        fill_masks(bert, tokenizer, "the [MASK]")
