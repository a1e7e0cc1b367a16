"""T5 (Raffel et al. 2020): an encoder-decoder with RMS norms before each part, relative positions, and no biases.

Version 1.0 has ReLU and one embedding for source, target and output; 1.1 (Shazeer 2020; Roberts et al. 2020) a gated
GELU and an output layer of its own.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from scratchgrad import Tensor
from scratchgrad import functional as F
from scratchgrad.models.attention import CrossAttention, SelfAttention
from scratchgrad.models.block import Block, Stack
from scratchgrad.models.config import Size
from scratchgrad.models.encoder_decoder import EncoderDecoder, EncoderDecoderConfig
from scratchgrad.models.experts import with_experts
from scratchgrad.models.feed_forward import FeedForward, GatedFeedForward
from scratchgrad.models.mixture import build_feed_forward
from scratchgrad.models.output import output_layer
from scratchgrad.models.positions import RelativePositionBias
from scratchgrad.models.weights import HFTensor, WeightMap
from scratchgrad.nn import Dropout, Embedding, RMSNorm


class T5Config(EncoderDecoderConfig):
    """Sizes of a T5, by Hugging Face's names.

    scale_decoder_outputs is tie_word_embeddings where it is left out; where that is, outputs that are not scaled come
    from a layer of their own. transformers 5 writes `tie_word_embeddings: true` for all: there the files tell.
    Relative positions have no end; max_position_embeddings (T5's n_positions) is the length that it was trained for.
    """

    model_type: Literal["t5"] = "t5"
    max_position_embeddings: Size = 512
    d_kv: Size
    relative_attention_num_buckets: Size = Field(default=32, ge=4, multiple_of=2)
    relative_attention_max_distance: Size = 128
    layer_norm_epsilon: float = Field(default=1e-6, gt=0)
    feed_forward_proj: Literal["relu", "gated-gelu"] = "relu"
    tie_word_embeddings: bool = True
    scale_decoder_outputs: bool
    is_decoder: Literal[False] = False

    @model_validator(mode="before")
    @classmethod
    def _fill_defaults(cls, values: dict[str, Any]) -> dict[str, Any]:
        known = {name: value for name, value in values.items() if value is not None}
        if "n_positions" in known:
            known["max_position_embeddings"] = known.pop("n_positions")
        known.setdefault("tie_word_embeddings", known.get("scale_decoder_outputs", True))
        known.setdefault("scale_decoder_outputs", known["tie_word_embeddings"])
        return known

    @model_validator(mode="after")
    def _distances_fit(self) -> Self:
        distance, buckets = self.relative_attention_max_distance, self.relative_attention_num_buckets
        if distance <= buckets // 2:
            raise ValueError(
                f"model.relative_attention_max_distance = {distance} is too small for {buckets} buckets: half of them "
                "are for single distances"
            )
        return self


class T5(EncoderDecoder):
    config_class = T5Config
    architecture = "T5ForConditionalGeneration"
    # Google's files hold positions for cross-attention, which has none.
    keys_to_ignore_on_load = (r"decoder\.block\.0\.layer\.1\.EncDecAttention\.relative_attention_bias\.weight",)

    def __init__(self, config: T5Config, *, dropout: float = 0.0) -> None:
        super().__init__(config)
        hidden_size, num_heads, head_dim = config.d_model, config.num_heads, config.d_kv
        # Initial weights as in the authors' code (mesh_tensorflow) and in Hugging Face's: scores are not divided by
        # sqrt(head_dim), so the queries are drawn that much smaller.
        std, inner_std, ff_std = hidden_size**-0.5, (num_heads * head_dim) ** -0.5, config.d_ff**-0.5
        query_std = std / math.sqrt(head_dim)

        def self_attention(is_causal: bool) -> SelfAttention:
            return SelfAttention(
                hidden_size, num_heads, head_dim=head_dim, is_causal=is_causal, scale=1.0,
                std=std, query_std=query_std, out_std=inner_std,
            )  # fmt: skip

        def cross_attention() -> CrossAttention:
            return CrossAttention(
                hidden_size, num_heads, head_dim=head_dim, scale=1.0, std=std, query_std=query_std, out_std=inner_std
            )

        def feed_forward() -> FeedForward | GatedFeedForward:
            if config.feed_forward_proj == "relu":
                return FeedForward(hidden_size, config.d_ff, "relu", std=std, out_std=ff_std)
            return GatedFeedForward(hidden_size, config.d_ff, "gelu_new", std=std, out_std=ff_std)

        def norm() -> RMSNorm:
            return RMSNorm(hidden_size, eps=config.layer_norm_epsilon)

        def block(is_causal: bool) -> Block:
            cross = cross_attention() if is_causal else None
            feed = build_feed_forward(config, feed_forward)
            return Block(self_attention(is_causal), feed, norm, cross_attention=cross, dropout=dropout)

        def bias(bidirectional: bool) -> RelativePositionBias:
            return RelativePositionBias(
                num_heads,
                num_buckets=config.relative_attention_num_buckets,
                max_distance=config.relative_attention_max_distance,
                bidirectional=bidirectional,
                std=std,
            )

        self.embed_tokens = Embedding(config.vocab_size, hidden_size, std=1.0)
        self.encoder_dropout, self.decoder_dropout = Dropout(dropout), Dropout(dropout)
        self.encoder_bias, self.decoder_bias = bias(True), bias(False)
        self.encoder = Stack([block(False) for _ in range(config.num_layers)], norm())
        self.decoder = Stack([block(True) for _ in range(config.num_decoder_layers)], norm())
        self.lm_head = output_layer(self.embed_tokens, is_tied=config.tie_word_embeddings, std=std)
        self.output_scale = hidden_size**-0.5 if config.scale_decoder_outputs else 1.0

    def encoder_mask(self, count: int, mask: Tensor | None) -> Tensor:
        return _seen(self.encoder_bias(count, count), mask)

    def decoder_mask(self, count: int, length: int) -> Tensor:
        bias: Tensor = self.decoder_bias(count, length)
        return bias

    @classmethod
    def config_values(cls, values: Mapping[str, Any], stored: Collection[str]) -> Mapping[str, Any]:
        """Outputs that are not scaled come from a layer of their own where the files have one."""
        if values.get("scale_decoder_outputs") is not False:
            return values
        return {**values, "tie_word_embeddings": "lm_head.weight" not in stored}

    @staticmethod
    def weight_map(config: T5Config) -> WeightMap:
        hidden_size, inner_dim = config.d_model, config.num_heads * config.d_kv
        embeddings = ["encoder.embed_tokens.weight", "decoder.embed_tokens.weight"]
        tied = (*embeddings, "lm_head.weight") if config.tie_word_embeddings else tuple(embeddings)
        names: WeightMap = {"embed_tokens.weight": [HFTensor("shared.weight", config.vocab_size, tied_keys=tied)]}
        if not config.tie_word_embeddings:
            names["lm_head.weight"] = [HFTensor("lm_head.weight", config.vocab_size)]
        for stack, layers in (("encoder", config.num_layers), ("decoder", config.num_decoder_layers)):
            names |= {
                f"{stack}_bias.table.weight": [
                    HFTensor(
                        f"{stack}.block.0.layer.0.SelfAttention.relative_attention_bias.weight",
                        config.relative_attention_num_buckets,
                    )
                ],
                f"{stack}.norm.weight": [HFTensor(f"{stack}.final_layer_norm.weight", hidden_size)],
            }
            for i in range(layers):
                layer, hf_layer = f"{stack}.layers.{i}", f"{stack}.block.{i}.layer"
                attention, last = f"{hf_layer}.0.SelfAttention", 1 if stack == "encoder" else 2
                names |= {
                    f"{layer}.attention_norm.weight": [HFTensor(f"{hf_layer}.0.layer_norm.weight", hidden_size)],
                    f"{layer}.attention.qkv.weight": [
                        HFTensor(f"{attention}.{part}.weight", inner_dim) for part in "qkv"
                    ],
                    f"{layer}.attention.o_proj.weight": [HFTensor(f"{attention}.o.weight", hidden_size)],
                    f"{layer}.feed_forward_norm.weight": [
                        HFTensor(f"{hf_layer}.{last}.layer_norm.weight", hidden_size)
                    ],
                    **_feed_forward_map(f"{layer}.feed_forward", f"{hf_layer}.{last}.DenseReluDense", config),
                }
                if stack == "decoder":
                    cross = f"{hf_layer}.1.EncDecAttention"
                    names |= {
                        f"{layer}.cross_attention_norm.weight": [
                            HFTensor(f"{hf_layer}.1.layer_norm.weight", hidden_size)
                        ],
                        f"{layer}.cross_attention.q_proj.weight": [HFTensor(f"{cross}.q.weight", inner_dim)],
                        f"{layer}.cross_attention.kv.weight": [
                            HFTensor(f"{cross}.{part}.weight", inner_dim) for part in "kv"
                        ],
                        f"{layer}.cross_attention.o_proj.weight": [HFTensor(f"{cross}.o.weight", hidden_size)],
                    }
        return with_experts(names, config)


def _seen(bias: Tensor, mask: Tensor | None) -> Tensor:
    """The bias of what may be seen, and no way to see the rest."""
    return bias if mask is None else F.where(mask, bias, -math.inf)


def _feed_forward_map(name: str, hf_name: str, config: T5Config) -> WeightMap:
    down = {f"{name}.down_proj.weight": [HFTensor(f"{hf_name}.wo.weight", config.d_model)]}
    if config.feed_forward_proj == "relu":
        return {f"{name}.up_proj.weight": [HFTensor(f"{hf_name}.wi.weight", config.d_ff)], **down}
    return {f"{name}.gate_up.weight": [HFTensor(f"{hf_name}.wi_{part}.weight", config.d_ff) for part in (0, 1)], **down}
