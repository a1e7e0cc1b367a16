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
from scratchgrad.models.decoder_heads import ClassifierConfig, DecoderForSequenceClassification, HeadlessDecoder
from scratchgrad.models.experts import ExpertsConfig, with_experts
from scratchgrad.models.feed_forward import GatedFeedForward
from scratchgrad.models.mixture import build_feed_forward
from scratchgrad.models.output import output_layer
from scratchgrad.models.positions import RotaryEmbedding
from scratchgrad.models.weights import HFTensor, WeightMap
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
    def _fill_defaults(cls, values: dict[str, Any]) -> dict[str, Any]:
        known = {name: value for name, value in values.items() if value is not None}
        if "num_attention_heads" in known:
            known.setdefault("num_key_value_heads", known["num_attention_heads"])
        rope = known.get("rope_parameters")
        if isinstance(rope, dict) and rope.keys() == {"rope_type", "rope_theta"} and rope["rope_type"] == "default":
            known["rope_theta"] = known.pop("rope_parameters")["rope_theta"]
        hidden_size, num_heads = known.get("hidden_size"), known.get("num_attention_heads")
        if (
            isinstance(hidden_size, int)
            and isinstance(num_heads, int)
            and num_heads > 0
            and hidden_size % num_heads == 0
        ):
            known = {
                name: value for name, value in known.items() if (name, value) != ("head_dim", hidden_size // num_heads)
            }
        return known

    @model_validator(mode="after")
    def _sizes_fit(self) -> Self:
        num_heads, num_kv_heads = self.num_attention_heads, self.num_key_value_heads
        if self.hidden_size % num_heads:
            raise ValueError(f"model.hidden_size = {self.hidden_size} is not divisible by {num_heads} attention heads")
        if self.hidden_size // num_heads % 2:
            raise ValueError(
                f"a head is {self.hidden_size // num_heads} wide, and rotary positions turn pairs: make it even"
            )
        if num_heads % num_kv_heads:
            raise ValueError(
                f"model.num_attention_heads = {num_heads} is not divisible by num_key_value_heads = {num_kv_heads}"
            )
        if self.head_dim not in (None, self.hidden_size // num_heads):
            raise ValueError(f"model.head_dim = {self.head_dim} is not supported: it must be hidden_size / heads")
        return self


class Llama(Decoder):
    config_class: ClassVar[type[LlamaConfig]] = LlamaConfig
    architecture = "LlamaForCausalLM"
    bare_architecture = "LlamaModel"
    base_model_prefix = "model."
    # Frequencies, which the config tells, too
    keys_to_ignore_on_load = (r"model\.(layers\.\d+\.self_attn\.)?rotary_emb\.inv_freq",)

    def __init__(self, config: LlamaConfig, *, dropout: float = 0.0) -> None:
        super().__init__(config)
        hidden_size, num_heads, eps = config.hidden_size, config.num_attention_heads, config.rms_norm_eps
        std = 0.02
        out_std = std / math.sqrt(2 * config.num_hidden_layers)  # so that the sum of all parts starts out level

        def feed_forward() -> GatedFeedForward:
            return GatedFeedForward(hidden_size, config.intermediate_size, "silu", std=std, out_std=out_std)

        def block() -> Block:
            return Block(
                SelfAttention(
                    hidden_size,
                    num_heads,
                    num_kv_heads=config.num_key_value_heads,
                    is_causal=True,
                    std=std,
                    out_std=out_std,
                ),
                build_feed_forward(config, feed_forward),
                lambda: RMSNorm(hidden_size, eps=eps),
                dropout=dropout,
            )

        self.embed_tokens = Embedding(config.vocab_size, hidden_size, std=std)
        self.decoder = Stack([block() for _ in range(config.num_hidden_layers)], RMSNorm(hidden_size, eps=eps))
        self.lm_head = output_layer(self.embed_tokens, is_tied=config.tie_word_embeddings, std=std)
        self.rotary_emb = RotaryEmbedding(hidden_size // num_heads, config.max_position_embeddings, config.rope_theta)

    def attention_inputs(self, positions: Tensor) -> AttentionInputs:
        return AttentionInputs(position_embeddings=self.rotary_emb(positions))

    @staticmethod
    def weight_map(config: LlamaConfig) -> WeightMap:
        hidden_size, intermediate_size = config.hidden_size, config.intermediate_size
        kv_size = config.num_key_value_heads * (hidden_size // config.num_attention_heads)
        head = "lm_head.weight"
        tied = (head,) if config.tie_word_embeddings else ()
        names: WeightMap = {
            "embed_tokens.weight": [HFTensor("model.embed_tokens.weight", config.vocab_size, tied_keys=tied)],
            "decoder.norm.weight": [HFTensor("model.norm.weight", hidden_size)],
        }
        if not config.tie_word_embeddings:
            names["lm_head.weight"] = [HFTensor(head, config.vocab_size)]
        for i in range(config.num_hidden_layers):
            layer, hf_layer = f"decoder.layers.{i}", f"model.layers.{i}"
            names |= {
                f"{layer}.attention_norm.weight": [HFTensor(f"{hf_layer}.input_layernorm.weight", hidden_size)],
                f"{layer}.attention.qkv.weight": [
                    HFTensor(f"{hf_layer}.self_attn.q_proj.weight", hidden_size),
                    HFTensor(f"{hf_layer}.self_attn.k_proj.weight", kv_size),
                    HFTensor(f"{hf_layer}.self_attn.v_proj.weight", kv_size),
                ],
                f"{layer}.attention.o_proj.weight": [HFTensor(f"{hf_layer}.self_attn.o_proj.weight", hidden_size)],
                f"{layer}.feed_forward_norm.weight": [
                    HFTensor(f"{hf_layer}.post_attention_layernorm.weight", hidden_size)
                ],
                f"{layer}.feed_forward.gate_up.weight": [
                    HFTensor(f"{hf_layer}.mlp.gate_proj.weight", intermediate_size),
                    HFTensor(f"{hf_layer}.mlp.up_proj.weight", intermediate_size),
                ],
                f"{layer}.feed_forward.down_proj.weight": [HFTensor(f"{hf_layer}.mlp.down_proj.weight", hidden_size)],
            }
        return with_experts(names, config)


class LlamaModel(HeadlessDecoder):
    """Saved without an output layer."""

    decoder_class = Llama


class LlamaClassifierConfig(ClassifierConfig, LlamaConfig):
    """Sizes of a Llama, and the labels that it gives."""


class LlamaForSequenceClassification(DecoderForSequenceClassification):
    config_class = LlamaClassifierConfig
    decoder_class = Llama
    architecture = "LlamaForSequenceClassification"
    base_model_prefix, keys_to_ignore_on_load = Llama.base_model_prefix, Llama.keys_to_ignore_on_load
