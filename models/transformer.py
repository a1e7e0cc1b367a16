"""The Transformer (Vaswani et al. 2017, "Attention is all you need"): an encoder-decoder, as it was first described.

Sinusoidal positions, a norm behind each part, ReLU, and one embedding for source, target and output. No class of
Hugging Face's is exactly this one; a model directory has our own `model_type`, and tensors named as in BART.
"""

from __future__ import annotations

import math
from typing import Literal, Self

from pydantic import Field, model_validator

from scratchgrad import Tensor
from scratchgrad import functional as F
from scratchgrad.models.attention import CrossAttention, SelfAttention
from scratchgrad.models.block import Block, Stack
from scratchgrad.models.config import Size
from scratchgrad.models.encoder_decoder import EncoderDecoder, EncoderDecoderConfig
from scratchgrad.models.experts import with_experts
from scratchgrad.models.feed_forward import FeedForward
from scratchgrad.models.mixture import build_feed_forward
from scratchgrad.models.output import output_layer
from scratchgrad.models.weights import HFTensor, WeightMap
from scratchgrad.nn import Dropout, Embedding, LayerNorm


class TransformerConfig(EncoderDecoderConfig):
    """The paper's base model: d_model 512, d_ff 2048, 8 heads, 6 layers."""

    model_type: Literal["transformer"] = "transformer"
    max_position_embeddings: Size
    d_model: Size = Field(multiple_of=2)
    layer_norm_epsilon: float = Field(default=1e-6, gt=0)

    def hugging_face_refusal(self) -> str | None:
        return "Hugging Face has no class for the Transformer as it was first described"

    @model_validator(mode="after")
    def _sizes_fit(self) -> Self:
        if self.d_model % self.num_heads:
            raise ValueError(f"model.d_model = {self.d_model} is not divisible by {self.num_heads} attention heads")
        return self


class Transformer(EncoderDecoder):
    config_class = TransformerConfig
    architecture = "Transformer"

    def __init__(self, config: TransformerConfig, *, dropout: float = 0.0) -> None:
        super().__init__(config)
        hidden_size, num_heads, d_ff = config.d_model, config.num_heads, config.d_ff
        # The paper does not say how weights begin. Variances are those of the authors' code (tensor2tensor): 1 / width
        # for embeddings, 2 / (inputs + outputs) for products (Glorot and Bengio 2010).
        std, ff_std = hidden_size**-0.5, math.sqrt(2 / (hidden_size + d_ff))

        def feed_forward() -> FeedForward:
            return FeedForward(hidden_size, d_ff, "relu", bias=True, std=ff_std, out_std=ff_std)

        def block(is_causal: bool) -> Block:
            return Block(
                SelfAttention(hidden_size, num_heads, is_causal=is_causal, std=std, out_std=std),
                build_feed_forward(config, feed_forward),
                lambda: LayerNorm(hidden_size, eps=config.layer_norm_epsilon),
                cross_attention=CrossAttention(hidden_size, num_heads, std=std, out_std=std) if is_causal else None,
                norm_first=False,
                dropout=dropout,
            )

        self.embed_tokens = Embedding(config.vocab_size, hidden_size, std=std)
        self.positions = F.sinusoidal_positions(config.max_position_embeddings, hidden_size)
        self.encoder_dropout, self.decoder_dropout = Dropout(dropout), Dropout(dropout)
        self.encoder = Stack([block(False) for _ in range(config.num_layers)])
        self.decoder = Stack([block(True) for _ in range(config.num_decoder_layers)])
        self.lm_head = output_layer(self.embed_tokens, is_tied=True)
        self.max_positions = config.max_position_embeddings

    def embed(self, ids: Tensor, positions: Tensor) -> Tensor:
        out: Tensor = self.embed_tokens(ids) * math.sqrt(self.config.d_model) + self.positions[positions]
        return out

    @staticmethod
    def weight_map(config: TransformerConfig) -> WeightMap:
        hidden_size, d_ff = config.d_model, config.d_ff
        names: WeightMap = {"embed_tokens.weight": [HFTensor("model.shared.weight", config.vocab_size)]}
        for stack, layers in (("encoder", config.num_layers), ("decoder", config.num_decoder_layers)):
            for i in range(layers):
                layer, hf_layer = f"{stack}.layers.{i}", f"model.{stack}.layers.{i}"
                same = {  # by one name each, here and there; all with as many rows as the model is wide
                    "attention.o_proj.weight": "self_attn.out_proj.weight",
                    "attention_norm.weight": "self_attn_layer_norm.weight",
                    "attention_norm.bias": "self_attn_layer_norm.bias",
                    "feed_forward.down_proj.weight": "fc2.weight",
                    "feed_forward.down_proj.bias": "fc2.bias",
                    "feed_forward_norm.weight": "final_layer_norm.weight",
                    "feed_forward_norm.bias": "final_layer_norm.bias",
                }
                if stack == "decoder":
                    same |= {
                        "cross_attention.q_proj.weight": "encoder_attn.q_proj.weight",
                        "cross_attention.o_proj.weight": "encoder_attn.out_proj.weight",
                        "cross_attention_norm.weight": "encoder_attn_layer_norm.weight",
                        "cross_attention_norm.bias": "encoder_attn_layer_norm.bias",
                    }
                    names[f"{layer}.cross_attention.kv.weight"] = [
                        HFTensor(f"{hf_layer}.encoder_attn.{part}_proj.weight", hidden_size) for part in "kv"
                    ]
                names |= {
                    f"{layer}.{name}": [HFTensor(f"{hf_layer}.{hf_name}", hidden_size)]
                    for name, hf_name in same.items()
                }
                names |= {
                    f"{layer}.attention.qkv.weight": [
                        HFTensor(f"{hf_layer}.self_attn.{part}_proj.weight", hidden_size) for part in "qkv"
                    ],
                    f"{layer}.feed_forward.up_proj.weight": [HFTensor(f"{hf_layer}.fc1.weight", d_ff)],
                    f"{layer}.feed_forward.up_proj.bias": [HFTensor(f"{hf_layer}.fc1.bias", d_ff)],
                }
        return with_experts(names, config)
