"""Every family with experts where its feed-forward part stands: it learns, comes back from disk, and recomputes."""

import json

import numpy as np
import pytest

from scratchgrad import manual_seed, models
from scratchgrad.models.experts import MOE_PREFIX
from tests.models import checks

DECODER = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 24}
ENCODER_DECODER = {"d_model": 16, "d_ff": 24, "num_layers": 1, "num_decoder_layers": 2, "num_heads": 4}
# What a head of a BERT is asked: the targets' shape, and how many classes there are.
CLASSES = {
    "ForSequenceClassification": ((2,), 2),
    "ForTokenClassification": ((2, 20), 2),
    "ForQuestionAnswering": ((2, 2), 20),
}
BERT = {**DECODER, "num_attention_heads": 2}
FAMILIES = {
    **{f"bert, {head}": BERT for head in ("ForPreTraining", "ForMaskedLM", *CLASSES)},
    "gpt2": {"n_embd": 16, "n_layer": 2, "n_head": 4},
    "llama": DECODER,
    "mixtral": {**DECODER, "num_key_value_heads": 2},
    "t5": {**ENCODER_DECODER, "d_kv": 4},
    "t5, gated": {**ENCODER_DECODER, "d_kv": 4, "feed_forward_proj": "gated-gelu", "tie_word_embeddings": False},
    "transformer": ENCODER_DECODER,
}
SWITCH = {
    "num_local_experts": 4, "num_experts_per_tok": 1, "norm_topk_prob": False, "router_z_loss_coef": 0.01,
    "capacity_factor": 1.0,
}  # fmt: skip
ids = np.random.default_rng(0).integers(0, 40, (2, 20))

families = pytest.mark.parametrize("name", FAMILIES)


def config_of(name, experts):
    sizes = {"vocab_size": 40, "max_position_embeddings": 32, **FAMILIES[name]}
    return models.config_from_dict({"model_type": name.partition(",")[0], **sizes, **experts})


def targets_of(name):
    shape, classes = CLASSES.get(name.partition(", ")[2], ((2, 20), 40))
    return np.random.default_rng(1).integers(0, classes, shape)


def built(name):
    """Like a Switch Transformer; a Mixtral cannot be one, since the weights of its experts add up to 1."""
    manual_seed(0)
    experts = {**SWITCH, "num_experts_per_tok": 2, "norm_topk_prob": True} if name == "mixtral" else SWITCH
    head = name.partition(", For")[2]
    model = models.build(config_of(name, experts), architectures=[f"BertFor{head}"] if head else None, dropout=0.1)
    for layer, parameter in model.named_parameters():
        if "router" in layer:
            parameter.data = parameter.data * 30
    return model


@families
@pytest.mark.parametrize("every", [1, 2])
def test_recomputation_keeps_every_bit_and_every_expert_and_router_learns(name, every):
    model, batch = built(name), {"input_ids": ids, "targets": targets_of(name)}
    metrics = checks.check_recomputation(lambda: built(name), batch, every).metrics()
    checks.loss(model, batch).backward()
    choices = 40 * model.config.num_experts_per_tok
    assert metrics["expert_load"].sum(1).tolist() == [choices] * len(metrics["expert_load"])
    assert len(metrics["dropped_tokens"]) == sum(len(s.layers) for s in stacks(model))
    for layer, parameter in model.named_parameters():
        if "router" in layer or "experts" in layer:
            assert np.abs(parameter.grad).max() > 0, layer


def stacks(model):
    return [getattr(model, name) for name in ("encoder", "decoder") if hasattr(model, name)]


@families
def test_it_comes_back_from_disk_under_a_type_that_says_what_it_is(name, tmp_path):
    model = built(name)
    checks.check_saving(model, tmp_path)
    model_type = json.loads((tmp_path / "config.json").read_text())["model_type"]
    is_known = name == "mixtral"
    assert model_type == ("mixtral" if is_known else MOE_PREFIX + name.partition(",")[0])
    assert (model.hugging_face_refusal() is None) == is_known
    assert models.config_from_dict(model.config.model_dump()) == model.config


@pytest.mark.parametrize("name", [name for name in FAMILIES if name != "mixtral"])
def test_nothing_is_said_of_experts_where_there_are_none(name):
    config = config_of(name, {})
    assert not config.model_dump().keys() & SWITCH.keys()
    assert config.model_dump()["model_type"] == name.partition(",")[0]
