"""GPT-2 (Radford et al. 2019): a decoder with learned positions, LayerNorm before each part, and biases everywhere."""

from __future__ import annotations

import math
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from scratchgrad import Tensor
from scratchgrad.models.attention import SelfAttention
from scratchgrad.models.block import Block, Stack
from scratchgrad.models.config import LayerCount, Size
from scratchgrad.models.decoder import Decoder
from scratchgrad.models.decoder_heads import ClassifierConfig, DecoderForSequenceClassification, HeadlessDecoder
from scratchgrad.models.experts import ExpertsConfig, with_experts
from scratchgrad.models.feed_forward import Activation, FeedForward
from scratchgrad.models.mixture import build_feed_forward
from scratchgrad.models.output import output_layer
from scratchgrad.models.weights import HFTensor, WeightMap
from scratchgrad.nn import Dropout, Embedding, LayerNorm


class GPT2Config(ExpertsConfig):
    """Sizes of a GPT-2, by Hugging Face's names; max_position_embeddings is what Hugging Face calls n_positions.

    n_inner, the width between the two layers of a feed-forward part, is 4 * n_embd where it is left out.
    """

    model_type: Literal["gpt2"] = "gpt2"
    vocab_size: Size
    max_position_embeddings: Size = Field(serialization_alias="n_positions")
    n_embd: Size
    n_layer: LayerCount
    n_head: Size
    n_inner: Size | None = None
    activation_function: Activation = "gelu_new"
    layer_norm_epsilon: float = Field(default=1e-5, gt=0)
    tie_word_embeddings: bool = True
    scale_attn_weights: Literal[True] = True
    scale_attn_by_inverse_layer_idx: Literal[False] = False
    reorder_and_upcast_attn: Literal[False] = False
    add_cross_attention: Literal[False] = False

    @model_validator(mode="before")
    @classmethod
    def _accept_n_positions(cls, values: dict[str, Any]) -> dict[str, Any]:
        known = dict(values)
        if "n_positions" in known:
            known["max_position_embeddings"] = known.pop("n_positions")
        return known

    @model_validator(mode="after")
    def _sizes_fit(self) -> Self:
        if self.n_embd % self.n_head:
            raise ValueError(f"model.n_embd = {self.n_embd} is not divisible by {self.n_head} attention heads")
        return self

    @property
    def intermediate_size(self) -> int:
        return self.n_inner or 4 * self.n_embd


class GPT2(Decoder):
    config_class = GPT2Config
    architecture = "GPT2LMHeadModel"
    bare_architecture = "GPT2Model"
    base_model_prefix = "transformer."
    # The causal mask, and the number that it writes
    keys_to_ignore_on_load = (r"transformer\.h\.\d+\.attn\.(bias|masked_bias)",)

    def __init__(self, config: GPT2Config, *, dropout: float = 0.0) -> None:
        super().__init__(config)
        hidden_size, eps = config.n_embd, config.layer_norm_epsilon
        # Initial weights as in Hugging Face's class: 0.02, and less where a part is added to the residual stream
        # (section 2.3 of the paper), so that the sum over all layers starts out level.
        std = 0.02
        out_std = std / math.sqrt(2 * config.n_layer)

        def feed_forward() -> FeedForward:
            return FeedForward(
                hidden_size, config.intermediate_size, config.activation_function, bias=True, std=std, out_std=out_std
            )

        def block() -> Block:
            return Block(
                SelfAttention(hidden_size, config.n_head, bias=True, is_causal=True, std=std, out_std=out_std),
                build_feed_forward(config, feed_forward),
                lambda: LayerNorm(hidden_size, eps=eps),
                dropout=dropout,
            )

        self.embed_tokens = Embedding(config.vocab_size, hidden_size, std=std)
        self.positions = Embedding(config.max_position_embeddings, hidden_size, std=std)
        self.dropout = Dropout(dropout)
        self.decoder = Stack([block() for _ in range(config.n_layer)], LayerNorm(hidden_size, eps=eps))
        self.lm_head = output_layer(self.embed_tokens, is_tied=config.tie_word_embeddings, std=std)

    def embed(self, ids: Tensor, positions: Tensor) -> Tensor:
        out: Tensor = self.dropout(self.embed_tokens(ids) + self.positions(positions))
        return out

    @staticmethod
    def weight_map(config: GPT2Config) -> WeightMap:
        hidden_size, head = config.n_embd, "lm_head.weight"
        tied = (head,) if config.tie_word_embeddings else ()
        names: WeightMap = {
            "embed_tokens.weight": [HFTensor("transformer.wte.weight", config.vocab_size, tied_keys=tied)],
            "positions.weight": [HFTensor("transformer.wpe.weight", config.max_position_embeddings)],
            **_weight_and_bias("decoder.norm", "transformer.ln_f", hidden_size),
        }
        if not config.tie_word_embeddings:
            names["lm_head.weight"] = [HFTensor(head, config.vocab_size)]
        for i in range(config.n_layer):
            layer, hf_layer = f"decoder.layers.{i}", f"transformer.h.{i}"
            names |= {
                **_weight_and_bias(f"{layer}.attention_norm", f"{hf_layer}.ln_1", hidden_size),
                **_weight_and_bias(
                    f"{layer}.attention.qkv", f"{hf_layer}.attn.c_attn", 3 * hidden_size, is_transposed=True
                ),
                **_weight_and_bias(
                    f"{layer}.attention.o_proj", f"{hf_layer}.attn.c_proj", hidden_size, is_transposed=True
                ),
                **_weight_and_bias(f"{layer}.feed_forward_norm", f"{hf_layer}.ln_2", hidden_size),
                **_weight_and_bias(
                    f"{layer}.feed_forward.up_proj",
                    f"{hf_layer}.mlp.c_fc",
                    config.intermediate_size,
                    is_transposed=True,
                ),
                **_weight_and_bias(
                    f"{layer}.feed_forward.down_proj", f"{hf_layer}.mlp.c_proj", hidden_size, is_transposed=True
                ),
            }
        return with_experts(names, config)


def _weight_and_bias(name: str, hf_name: str, rows: int, *, is_transposed: bool = False) -> WeightMap:
    """The map of a module's weight and bias. Hugging Face's `Conv1D` stores weights as (in_features, out_features)."""
    return {
        f"{name}.weight": [HFTensor(f"{hf_name}.weight", rows, is_transposed)],
        f"{name}.bias": [HFTensor(f"{hf_name}.bias", rows)],
    }


class GPT2Model(HeadlessDecoder):
    """Saved without an output layer."""

    decoder_class = GPT2


class GPT2ClassifierConfig(ClassifierConfig, GPT2Config):
    """Sizes of a GPT-2, and the labels that it gives."""


class GPT2ForSequenceClassification(DecoderForSequenceClassification):
    config_class = GPT2ClassifierConfig
    decoder_class = GPT2
    architecture = "GPT2ForSequenceClassification"
    base_model_prefix, keys_to_ignore_on_load = GPT2.base_model_prefix, GPT2.keys_to_ignore_on_load
