"""Llama (Touvron et al. 2023): a decoder with RMS norms before each part, rotary positions and SwiGLU."""

from __future__ import annotations

import math
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from scratchgrad import Tensor
from scratchgrad.models.attention import AttentionInputs, SelfAttention
from scratchgrad.models.block import Block, Stack
from scratchgrad.models.config import LayerCount, Size
from scratchgrad.models.decoder import Decoder
from scratchgrad.models.experts import ExpertsConfig, with_experts
from scratchgrad.models.feed_forward import GatedFeedForward
from scratchgrad.models.mixture import feed_forward_for
from scratchgrad.models.output import output_layer
from scratchgrad.models.positions import RotaryEmbedding
from scratchgrad.models.weights import Piece, WeightMap
from scratchgrad.nn import Embedding, RMSNorm


class LlamaConfig(ExpertsConfig):
    """Sizes of a Llama, by Hugging Face's names. num_key_value_heads is num_attention_heads where it is left out.

    head_dim, where it is named, is hidden_size / num_attention_heads. transformers 5 says rope_theta inside
    `rope_parameters`.
    """

    model_type: Literal["llama"] = "llama"
    vocab_size: Size
    hidden_size: Size
    num_hidden_layers: LayerCount
    num_attention_heads: Size
    num_key_value_heads: Size
    intermediate_size: Size
    max_position_embeddings: Size
    rope_theta: float = Field(default=10000.0, gt=0)
    rms_norm_eps: float = Field(default=1e-6, gt=0)
    tie_word_embeddings: bool = False
    hidden_act: Literal["silu"] = "silu"
    attention_bias: Literal[False] = False
    mlp_bias: Literal[False] = False
    rope_scaling: None = None
    rope_parameters: None = None
    head_dim: int | None = None

    @model_validator(mode="before")
    @classmethod
    def _left_out(cls, values: dict[str, Any]) -> dict[str, Any]:
        known = {name: value for name, value in values.items() if value is not None}
        if "num_attention_heads" in known:
            known.setdefault("num_key_value_heads", known["num_attention_heads"])
        rope = known.get("rope_parameters")
        if isinstance(rope, dict) and rope.keys() == {"rope_type", "rope_theta"} and rope["rope_type"] == "default":
            known["rope_theta"] = known.pop("rope_parameters")["rope_theta"]
        hidden, heads = known.get("hidden_size"), known.get("num_attention_heads")
        if isinstance(hidden, int) and isinstance(heads, int) and heads > 0 and hidden % heads == 0:
            known = {name: value for name, value in known.items() if (name, value) != ("head_dim", hidden // heads)}
        return known

    @model_validator(mode="after")
    def _sizes_fit(self) -> Self:
        heads, groups = self.num_attention_heads, self.num_key_value_heads
        if self.hidden_size % heads:
            raise ValueError(f"model.hidden_size = {self.hidden_size} is not divisible by {heads} attention heads")
        if self.hidden_size // heads % 2:
            raise ValueError(
                f"a head is {self.hidden_size // heads} wide, and rotary positions turn pairs: make it even"
            )
        if heads % groups:
            raise ValueError(f"model.num_attention_heads = {heads} is not divisible by num_key_value_heads = {groups}")
        if self.head_dim not in (None, self.hidden_size // heads):
            raise ValueError(f"model.head_dim = {self.head_dim} is not supported: it must be hidden_size / heads")
        return self


class Llama(Decoder):
    config_class: ClassVar[type[LlamaConfig]] = LlamaConfig
    architecture = "LlamaForCausalLM"
    base_prefix = "model."
    buffers = (r"model\.(layers\.\d+\.self_attn\.)?rotary_emb\.inv_freq",)  # frequencies, which the config tells, too

    def __init__(self, config: LlamaConfig, *, dropout: float = 0.0) -> None:
        super().__init__(config)
        hidden, heads, eps = config.hidden_size, config.num_attention_heads, config.rms_norm_eps
        std = 0.02
        out_std = std / math.sqrt(2 * config.num_hidden_layers)  # so that the sum of all parts starts out level

        def feed_forward() -> GatedFeedForward:
            return GatedFeedForward(hidden, config.intermediate_size, "silu", std=std, out_std=out_std)

        def block() -> Block:
            return Block(
                SelfAttention(
                    hidden, heads, groups=config.num_key_value_heads, is_causal=True, std=std, out_std=out_std
                ),
                feed_forward_for(config, feed_forward),
                lambda: RMSNorm(hidden, eps=eps),
                dropout=dropout,
            )

        self.embed_tokens = Embedding(config.vocab_size, hidden, std=std)
        self.decoder = Stack([block() for _ in range(config.num_hidden_layers)], RMSNorm(hidden, eps=eps))
        self.lm_head = output_layer(self.embed_tokens, is_tied=config.tie_word_embeddings, std=std)
        self.rotary = RotaryEmbedding(hidden // heads, config.max_position_embeddings, config.rope_theta)

    def attention_inputs(self, positions: Tensor) -> AttentionInputs:
        return AttentionInputs(rotary=self.rotary(positions))

    @staticmethod
    def weight_map(config: LlamaConfig) -> WeightMap:
        hidden, intermediate = config.hidden_size, config.intermediate_size
        shared = config.num_key_value_heads * (hidden // config.num_attention_heads)
        head = "lm_head.weight"
        tied = (head,) if config.tie_word_embeddings else ()
        names: WeightMap = {
            "embed_tokens.weight": [Piece("model.embed_tokens.weight", config.vocab_size, copies=tied)],
            "decoder.norm.weight": [Piece("model.norm.weight", hidden)],
        }
        if not config.tie_word_embeddings:
            names["lm_head.weight"] = [Piece(head, config.vocab_size)]
        for i in range(config.num_hidden_layers):
            ours, theirs = f"decoder.layers.{i}", f"model.layers.{i}"
            names |= {
                f"{ours}.attention_norm.weight": [Piece(f"{theirs}.input_layernorm.weight", hidden)],
                f"{ours}.attention.qkv.weight": [
                    Piece(f"{theirs}.self_attn.q_proj.weight", hidden),
                    Piece(f"{theirs}.self_attn.k_proj.weight", shared),
                    Piece(f"{theirs}.self_attn.v_proj.weight", shared),
                ],
                f"{ours}.attention.o_proj.weight": [Piece(f"{theirs}.self_attn.o_proj.weight", hidden)],
                f"{ours}.feed_forward_norm.weight": [Piece(f"{theirs}.post_attention_layernorm.weight", hidden)],
                f"{ours}.feed_forward.gate_up.weight": [
                    Piece(f"{theirs}.mlp.gate_proj.weight", intermediate),
                    Piece(f"{theirs}.mlp.up_proj.weight", intermediate),
                ],
                f"{ours}.feed_forward.down_proj.weight": [Piece(f"{theirs}.mlp.down_proj.weight", hidden)],
            }
        return with_experts(names, config)
