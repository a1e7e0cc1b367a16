"""Llama (Touvron et al. 2023): a decoder with RMS norms before each part, rotary positions and SwiGLU."""

from __future__ import annotations

import math
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from scratchgrad import Tensor, recompute
from scratchgrad import functional as F
from scratchgrad.models.attention import CausalSelfAttention
from scratchgrad.models.cache import Cache, LayerCache
from scratchgrad.models.config import ModelConfig
from scratchgrad.models.feed_forward import SwiGLU
from scratchgrad.models.positions import RotaryEmbedding
from scratchgrad.models.weights import WeightMap
from scratchgrad.nn import Dropout, Embedding, Linear, Module, RMSNorm


class LlamaConfig(ModelConfig):
    """Sizes of a Llama, by Hugging Face's names. num_key_value_heads is num_attention_heads where it is left out."""

    model_type: Literal["llama"] = "llama"
    vocab_size: int = Field(gt=0)
    hidden_size: int = Field(gt=0)
    num_hidden_layers: int = Field(gt=0)
    num_attention_heads: int = Field(gt=0)
    num_key_value_heads: int = Field(gt=0)
    intermediate_size: int = Field(gt=0)
    max_position_embeddings: int = Field(gt=0)
    rope_theta: float = Field(default=10000.0, gt=0)
    rms_norm_eps: float = Field(default=1e-6, gt=0)
    tie_word_embeddings: bool = False
    hidden_act: Literal["silu"] = "silu"
    attention_bias: Literal[False] = False
    mlp_bias: Literal[False] = False
    rope_scaling: None = None
    head_dim: int | None = None

    @model_validator(mode="before")
    @classmethod
    def _as_many_groups_as_heads(cls, values: dict[str, Any]) -> dict[str, Any]:
        heads = values.get("num_attention_heads")
        if values.get("num_key_value_heads") is None and heads is not None:
            values = {**values, "num_key_value_heads": heads}
        return values

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


class LlamaBlock(Module):
    """x + attention(norm(x)), then x + feed_forward(norm(x))."""

    def __init__(self, config: LlamaConfig, dropout: float) -> None:
        hidden, eps = config.hidden_size, config.rms_norm_eps
        out_std = 0.02 / math.sqrt(2 * config.num_hidden_layers)  # so that the sum of all parts starts out level
        self.input_layernorm = RMSNorm(hidden, eps=eps)
        self.self_attn = CausalSelfAttention(
            hidden, config.num_attention_heads, config.num_key_value_heads, out_std=out_std
        )
        self.post_attention_layernorm = RMSNorm(hidden, eps=eps)
        self.mlp = SwiGLU(hidden, config.intermediate_size, out_std=out_std)
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor, cache: LayerCache | None = None) -> Tensor:
        x = x + self.dropout(self.self_attn(self.input_layernorm(x), cos, sin, cache))
        out: Tensor = x + self.dropout(self.mlp(self.post_attention_layernorm(x)))
        return out


class Llama(Module):
    """A causal language model: ids in, a score for every next token out.

    `recompute_every = k` forgets the inside of every k blocks and runs it again in the backward pass; 0 keeps all.
    """

    config_class = LlamaConfig

    def __init__(self, config: LlamaConfig, *, dropout: float = 0.0) -> None:
        self.config = config
        self.recompute_every = 0
        self.embed_tokens = Embedding(config.vocab_size, config.hidden_size)
        self.layers = [LlamaBlock(config, dropout) for _ in range(config.num_hidden_layers)]
        self.norm = RMSNorm(config.hidden_size, eps=config.rms_norm_eps)
        self.lm_head = None if config.tie_word_embeddings else Linear(config.hidden_size, config.vocab_size, bias=False)
        head_width = config.hidden_size // config.num_attention_heads
        self.rotary = RotaryEmbedding(head_width, config.max_position_embeddings, config.rope_theta)

    def hidden(self, ids: Tensor, cache: Cache | None = None) -> Tensor:
        """ids (batch, time); the state (batch, time, hidden) from which the next tokens are told."""
        cos, sin = self.rotary(cache.length if cache is not None else 0, ids.shape[1])
        x = self.embed_tokens(ids)
        if cache is not None:
            for layer, layer_cache in zip(self.layers, cache.layers, strict=True):
                x = layer(x, cos, sin, layer_cache)
        else:
            size = self.recompute_every or len(self.layers)
            for start in range(0, len(self.layers), size):

                def blocks(x: Tensor, start: int = start) -> Tensor:
                    for layer in self.layers[start : start + size]:
                        x = layer(x, cos, sin)
                    return x

                x = recompute(blocks, x) if self.recompute_every else blocks(x)
        out: Tensor = self.norm(x)
        return out

    def forward(self, ids: Tensor, cache: Cache | None = None) -> Tensor:
        """ids (batch, time) integers; logits (batch, time, vocabulary). With a cache, ids follow what it holds."""
        return F.linear(self.hidden(ids, cache), self.output_weight)

    def next_logits(self, ids: Tensor, cache: Cache | None = None) -> Tensor:
        """As `forward`, but for the last position alone: (batch, vocabulary)."""
        return F.linear(self.hidden(ids, cache)[:, -1], self.output_weight)

    def loss(self, ids: Tensor, targets: Tensor) -> Tensor:
        """The sum of -log p(target) over all targets that are not -100; ids and targets (batch, time)."""
        return F.linear_cross_entropy(self.hidden(ids), self.output_weight, targets)

    @property
    def output_weight(self) -> Tensor:
        return self.embed_tokens.weight if self.lm_head is None else self.lm_head.weight

    def new_cache(self, capacity: int | None = None) -> Cache:
        """Room for `capacity` tokens, by default for the whole context."""
        return Cache(len(self.layers), capacity or self.config.max_position_embeddings)

    @staticmethod
    def weight_map(config: LlamaConfig) -> WeightMap:
        """Our parameter -> the Hugging Face tensors whose rows stand in it, one below the other."""
        hidden, intermediate = config.hidden_size, config.intermediate_size
        shared = config.num_key_value_heads * (hidden // config.num_attention_heads)
        names: WeightMap = {
            "embed_tokens.weight": [("model.embed_tokens.weight", config.vocab_size)],
            "norm.weight": [("model.norm.weight", hidden)],
        }
        if not config.tie_word_embeddings:
            names["lm_head.weight"] = [("lm_head.weight", config.vocab_size)]
        for i in range(config.num_hidden_layers):
            ours, theirs = f"layers.{i}", f"model.layers.{i}"
            names |= {
                f"{ours}.self_attn.qkv.weight": [
                    (f"{theirs}.self_attn.q_proj.weight", hidden),
                    (f"{theirs}.self_attn.k_proj.weight", shared),
                    (f"{theirs}.self_attn.v_proj.weight", shared),
                ],
                f"{ours}.mlp.gate_up.weight": [
                    (f"{theirs}.mlp.gate_proj.weight", intermediate),
                    (f"{theirs}.mlp.up_proj.weight", intermediate),
                ],
            }
            for part in ("self_attn.o_proj", "mlp.down_proj", "input_layernorm", "post_attention_layernorm"):
                names[f"{ours}.{part}.weight"] = [(f"{theirs}.{part}.weight", hidden)]
        return names
