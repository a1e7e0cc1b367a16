"""How weights begin: the distribution of each parameter of each family, and a stage that begins as in the whole model."""

import re

import numpy as np
import pytest

from scratchgrad import Tensor, manual_seed, models, nn
from scratchgrad.models.attention import AttentionInputs, SelfAttention
from scratchgrad.models.auxiliary import AuxOutputs
from scratchgrad.models.block import Block, Stack
from scratchgrad.models.feed_forward import FeedForward
from scratchgrad.random import RngState, fork_rng

DECODER = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 192}
ENCODER_DECODER = {"d_model": 64, "d_ff": 144, "num_layers": 2, "num_heads": 4}
GATED = {"feed_forward_proj": "gated-gelu", "tie_word_embeddings": False}
EXPERTS = {"num_local_experts": 4}
DEEP = 0.02 / 2  # where a part of one of two layers is added: 0.02 / sqrt(2 * layers)

# By family: what its config says, then for a pattern of names the deviation of normal weights; all others are constants.
FAMILIES = {
    "gpt2": ({"n_embd": 64, "n_layer": 2, "n_head": 4, "tie_word_embeddings": False}, {
        r"embed_tokens|positions|lm_head|qkv|up_proj": 0.02, r"o_proj|down_proj": DEEP,
    }),
    "llama": (DECODER, {r"embed_tokens|lm_head|qkv|gate_up": 0.02, r"o_proj|down_proj": DEEP}),
    "mixtral": ({**DECODER, **EXPERTS, "num_key_value_heads": 2}, {
        r"embed_tokens|lm_head|qkv|gate_up|router": 0.02, r"o_proj|down_proj": DEEP,
    }),
    "bert": ({**DECODER, "initializer_range": 0.03}, {r"(?<!norm)(?<!bias)": 0.03}),
    "t5": ({**ENCODER_DECODER, **GATED, "d_kv": 25}, {
        r"embed_tokens": 1.0, r"table|kv|gate_up|lm_head": 1 / 8, r"o_proj": 1 / 10, r"down_proj": 1 / 12,
        r"q_proj": 1 / 8 / 5,
    }),
    "transformer": (ENCODER_DECODER, {
        r"embed_tokens|qkv|q_proj|kv|o_proj": 1 / 8, r"up_proj|down_proj": (2 / 208) ** 0.5,
    }),
}  # fmt: skip


def check_normal(name, values, std):
    values = values.astype(np.float64).reshape(-1)
    assert abs(values.mean()) < 5 * std / values.size**0.5, name
    assert abs(values.std() / std - 1) < 5 / (2 * values.size) ** 0.5, name
    assert abs((values**4).mean() / std**4 - 3) < 5 * (96 / values.size) ** 0.5, name


@pytest.mark.parametrize("name", FAMILIES)
def test_every_parameter_has_its_distribution(name):
    sizes, stds = FAMILIES[name]
    config = models.config_from_dict({"model_type": name, "vocab_size": 300, "max_position_embeddings": 80, **sizes})
    manual_seed(0)
    model = models.build(config)
    for parameter, values in model.state_dict().items():
        of_norm = re.search(r"norm\.weight$", parameter)
        std = next((std for pattern, std in stds.items() if re.search(rf"({pattern})\.weight$", parameter)), None)
        if of_norm or std is None:
            assert of_norm or parameter.endswith("bias"), parameter
            assert np.all(values == (1 if of_norm else 0)), parameter
        elif name == "t5" and "qkv" in parameter:  # queries are smaller, as scores are not divided by sqrt(width)
            check_normal(parameter, values[:100], std / 5)
            check_normal(parameter, values[100:], std)
        elif "experts" in parameter:
            assert len({expert.tobytes() for expert in values}) == 4
            for expert in values:
                check_normal(parameter, expert, std)
        else:
            check_normal(parameter, values, std)


def test_models_of_one_seed_begin_alike_and_part_by_their_names():
    config = models.config_from_dict({"model_type": "llama", "vocab_size": 30, "max_position_embeddings": 8, **DECODER})
    deeper = config.model_copy(update={"num_hidden_layers": 3})
    manual_seed(0)
    one, other = models.build(config).state_dict(), models.build(deeper).state_dict()
    assert np.array_equal(one["decoder.layers.1.attention.qkv.weight"], other["decoder.layers.1.attention.qkv.weight"])
    assert np.array_equal(one["embed_tokens.weight"], other["embed_tokens.weight"])


def layer_of_gpt2():
    return Block(
        SelfAttention(64, 4, bias=True, is_causal=True, std=0.02, out_std=DEEP / 2**0.5),
        FeedForward(64, 256, "gelu_new", bias=True, std=0.02, out_std=DEEP / 2**0.5),
        lambda: nn.LayerNorm(64),
        dropout=0.2,
    )


def test_a_stage_that_builds_one_layer_computes_what_the_whole_model_does():
    """Layer 3 of four, alone: the same weights, the same dropout, so the same states and gradients."""
    sizes = {"n_embd": 64, "n_layer": 4, "n_head": 4, "vocab_size": 30, "n_positions": 16}
    manual_seed(3)
    model = models.build(models.config_from_dict({"model_type": "gpt2", **sizes}), dropout=0.2)
    with nn.shapes_only():
        layer = layer_of_gpt2()
    layer.reset_parameters("decoder.layers.3")
    layer.set_qualified_names("decoder.layers.3")
    states = np.random.default_rng(0).standard_normal((2, 16, 64)).astype(np.float32)
    grad = np.random.default_rng(1).standard_normal((2, 16, 64)).astype(np.float32)

    def run(part, stack):
        x = Tensor(states, requires_grad=True)
        with fork_rng(RngState(3, step=5, microbatch=1)):
            for other in stack:  # what stands before it draws too, where it is there
                other(Tensor(states), AttentionInputs(), AuxOutputs())
            out = part(x, AttentionInputs(), AuxOutputs())
            out.backward(grad)
        return [out.data.tobytes(), x.grad.tobytes(), *(p.grad.tobytes() for p in part.parameters())]

    assert run(layer, []) == run(model.decoder.layers[3], model.decoder.layers[:3])


def test_dropout_stands_at_each_place_of_a_block_under_a_name_of_its_own():
    config = {"model_type": "t5", "vocab_size": 30, "d_kv": 16, **ENCODER_DECODER}
    model = models.build(models.config_from_dict(config), dropout=0.1)
    names = {m.qualified_name for _, m in model.named_modules() if isinstance(m, nn.Dropout)}
    places = ("attention_dropout", "feed_forward_dropout", "cross_attention_dropout")
    assert names == {
        "encoder_dropout",
        "decoder_dropout",
        *(f"encoder.layers.{i}.{place}" for i in range(2) for place in places[:2]),
        *(f"decoder.layers.{i}.{place}" for i in range(2) for place in places),
    }


def test_a_loaded_model_knows_its_names(tmp_path):
    config = {"model_type": "llama", "vocab_size": 30, "max_position_embeddings": 8, **DECODER}
    models.save(models.build(models.config_from_dict(config)), tmp_path)
    stack = models.load(tmp_path).decoder
    assert isinstance(stack, Stack)
    assert stack.layers[1].attention_dropout.qualified_name == "decoder.layers.1.attention_dropout"
