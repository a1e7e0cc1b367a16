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
from scratchgrad.models.experts import ExpertsConfig, with_experts
from scratchgrad.models.feed_forward import Activation, FeedForward
from scratchgrad.models.mixture import feed_forward_for
from scratchgrad.models.output import output_layer
from scratchgrad.models.weights import Piece, WeightMap
from scratchgrad.nn import Dropout, Embedding, LayerNorm


class GPT2Config(ExpertsConfig):
    """Sizes of a GPT-2, by Hugging Face's names; max_position_embeddings is what they call n_positions.

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
    def _their_name_for_the_context(cls, values: dict[str, Any]) -> dict[str, Any]:
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
    base_prefix = "transformer."
    buffers = (r"transformer\.h\.\d+\.attn\.(bias|masked_bias)",)  # the causal mask, and the number that it writes

    def __init__(self, config: GPT2Config, *, dropout: float = 0.0) -> None:
        super().__init__(config)
        hidden, eps = config.n_embd, config.layer_norm_epsilon
        # Initial weights as in Hugging Face's class: 0.02, and less where a part is added to the residual stream
        # (section 2.3 of the paper), so that the sum over all layers starts out level.
        std = 0.02
        out_std = std / math.sqrt(2 * config.n_layer)

        def feed_forward() -> FeedForward:
            return FeedForward(
                hidden, config.intermediate_size, config.activation_function, bias=True, std=std, out_std=out_std
            )

        def block() -> Block:
            return Block(
                SelfAttention(hidden, config.n_head, bias=True, is_causal=True, std=std, out_std=out_std),
                feed_forward_for(config, feed_forward),
                lambda: LayerNorm(hidden, eps=eps),
                dropout=dropout,
            )

        self.embed_tokens = Embedding(config.vocab_size, hidden, std=std)
        self.positions = Embedding(config.max_position_embeddings, hidden, std=std)
        self.dropout = Dropout(dropout)
        self.decoder = Stack([block() for _ in range(config.n_layer)], LayerNorm(hidden, eps=eps))
        self.lm_head = output_layer(self.embed_tokens, is_tied=config.tie_word_embeddings, std=std)

    def embed(self, ids: Tensor, positions: Tensor) -> Tensor:
        out: Tensor = self.dropout(self.embed_tokens(ids) + self.positions(positions))
        return out

    @staticmethod
    def weight_map(config: GPT2Config) -> WeightMap:
        hidden, head = config.n_embd, "lm_head.weight"
        tied = (head,) if config.tie_word_embeddings else ()
        names: WeightMap = {
            "embed_tokens.weight": [Piece("transformer.wte.weight", config.vocab_size, copies=tied)],
            "positions.weight": [Piece("transformer.wpe.weight", config.max_position_embeddings)],
            **_both("decoder.norm", "transformer.ln_f", hidden),
        }
        if not config.tie_word_embeddings:
            names["lm_head.weight"] = [Piece(head, config.vocab_size)]
        for i in range(config.n_layer):
            ours, theirs = f"decoder.layers.{i}", f"transformer.h.{i}"
            names |= {
                **_both(f"{ours}.attention_norm", f"{theirs}.ln_1", hidden),
                **_both(f"{ours}.attention.qkv", f"{theirs}.attn.c_attn", 3 * hidden, is_transposed=True),
                **_both(f"{ours}.attention.o_proj", f"{theirs}.attn.c_proj", hidden, is_transposed=True),
                **_both(f"{ours}.feed_forward_norm", f"{theirs}.ln_2", hidden),
                **_both(
                    f"{ours}.feed_forward.up_proj", f"{theirs}.mlp.c_fc", config.intermediate_size, is_transposed=True
                ),
                **_both(f"{ours}.feed_forward.down_proj", f"{theirs}.mlp.c_proj", hidden, is_transposed=True),
            }
        return with_experts(names, config)


def _both(ours: str, theirs: str, rows: int, *, is_transposed: bool = False) -> WeightMap:
    """The weight and the bias of a part. Their linear layers, `Conv1D`, store weights as (inputs, outputs)."""
    return {
        f"{ours}.weight": [Piece(f"{theirs}.weight", rows, is_transposed)],
        f"{ours}.bias": [Piece(f"{theirs}.bias", rows)],
    }
