"""BERT (Devlin et al. 2019): an encoder, in which every token looks at those on both sides."""

from __future__ import annotations

from typing import Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from scratchgrad import Tensor
from scratchgrad import functional as F
from scratchgrad.backend import array_module
from scratchgrad.models.attention import AttentionInputs, SelfAttention, expand_attention_mask
from scratchgrad.models.auxiliary import AuxOutputs
from scratchgrad.models.block import Block, Stack
from scratchgrad.models.config import LayerCount, Size
from scratchgrad.models.experts import ExpertsConfig, with_experts
from scratchgrad.models.feed_forward import Activation, FeedForward
from scratchgrad.models.labels import Labels
from scratchgrad.models.mixture import build_feed_forward
from scratchgrad.models.model import Model
from scratchgrad.models.positions import LearnedPositions
from scratchgrad.models.weights import HFTensor, WeightMap
from scratchgrad.nn import Dropout, Embedding, LayerNorm, Linear


class BertConfig(Labels, ExpertsConfig):
    """Sizes of a BERT, by Hugging Face's names."""

    model_type: Literal["bert"] = "bert"
    vocab_size: Size
    hidden_size: Size
    num_hidden_layers: LayerCount
    num_attention_heads: Size
    intermediate_size: Size
    max_position_embeddings: Size
    type_vocab_size: Size = 2
    hidden_act: Activation = "gelu"
    initializer_range: float = Field(default=0.02, gt=0)
    layer_norm_eps: float = Field(default=1e-12, gt=0)
    pad_token_id: int | None = Field(default=0, ge=0)
    position_embedding_type: Literal["absolute"] = "absolute"
    tie_word_embeddings: Literal[True] = True
    is_encoder_decoder: Literal[False] = False
    is_decoder: Literal[False] = False
    add_cross_attention: Literal[False] = False

    @model_validator(mode="after")
    def _sizes_fit(self) -> Self:
        hidden_size, num_heads = self.hidden_size, self.num_attention_heads
        if hidden_size % num_heads:
            raise ValueError(f"model.hidden_size = {hidden_size} is not divisible by {num_heads} attention heads")
        if self.pad_token_id is not None and self.pad_token_id >= self.vocab_size:
            raise ValueError(f"model.pad_token_id = {self.pad_token_id} is none of the {self.vocab_size} tokens")
        return self


class Bert(Model):
    """The encoder. A subclass adds a head: what it makes of hidden states is `head`. Some heads need the pooler.

    input_ids, token_type_ids (batch, time) integers; without types, all are 0. attention_mask (batch, time), booleans
    or 0/1 integers as in Hugging Face: 0 where a text is padded.
    """

    config_class = BertConfig
    has_pooler = True
    tied_weights_keys: ClassVar[tuple[str, ...]] = ()  # names of an output layer that is the embedding
    base_model_prefix = "bert."
    head_modules: ClassVar[tuple[str, ...]] = ("pooler",)
    keys_to_ignore_on_load: ClassVar[tuple[str, ...]] = (r"(bert\.)?embeddings\.position_ids",)
    older_names: ClassVar[dict[str, str]] = {"LayerNorm.gamma": "LayerNorm.weight", "LayerNorm.beta": "LayerNorm.bias"}

    def __init__(self, config: BertConfig, *, dropout: float = 0.0) -> None:
        super().__init__(config)
        hidden_size, eps, std = config.hidden_size, config.layer_norm_eps, config.initializer_range

        def feed_forward() -> FeedForward:
            return FeedForward(
                hidden_size, config.intermediate_size, config.hidden_act, bias=True, std=std, out_std=std
            )

        def block() -> Block:
            return Block(
                SelfAttention(hidden_size, config.num_attention_heads, bias=True, std=std, out_std=std),
                build_feed_forward(config, feed_forward),
                lambda: LayerNorm(hidden_size, eps=eps),
                norm_first=False,
                dropout=dropout,
            )

        # All weights begin normal with one deviation, as in Hugging Face's class; the authors cut the tails off.
        self.embed_tokens = Embedding(config.vocab_size, hidden_size, std=std)
        self.positions = LearnedPositions(config.max_position_embeddings, hidden_size, std=std)
        self.token_types = Embedding(config.type_vocab_size, hidden_size, std=std)
        self.embed_norm, self.dropout = LayerNorm(hidden_size, eps=eps), Dropout(dropout)
        self.encoder = Stack([block() for _ in range(config.num_hidden_layers)])
        self.pooler = Linear(hidden_size, hidden_size, std=std) if self.has_pooler else None

    def hidden_states(
        self,
        input_ids: Tensor,
        token_type_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        aux: AuxOutputs | None = None,
    ) -> Tensor:
        """The last layer's output (batch, time, hidden_size). Auxiliary losses and loads go into `aux`.

        ValueError where the text is longer than the context, or attention_mask has another shape.
        """
        if token_type_ids is None and type(self.token_types) is not Embedding:  # an adapted one is looked up
            token_type_ids = Tensor(array_module(input_ids.data).zeros_like(input_ids.data))
        of_type = self.token_types.weight[0] if token_type_ids is None else self.token_types(token_type_ids)
        embedded = self.embed_tokens(input_ids) + self.positions(0, input_ids.shape[1]) + of_type
        inputs = AttentionInputs(mask=expand_attention_mask(attention_mask, input_ids.shape))
        aux = aux if aux is not None else AuxOutputs()
        x = self.dropout(self.embed_norm(embedded))
        out: Tensor = self.encoder(x, inputs, aux, recompute_every=self.recompute_every)
        return out

    def pooled_output(self, hidden_states: Tensor) -> Tensor:
        """hidden_states (batch, time, hidden_size) of whole texts; (batch, hidden_size), made of the first token's.

        TypeError for an architecture without a pooler.
        """
        if self.pooler is None:
            raise TypeError(f"a {self.architecture} has no pooler")
        return F.tanh(self.pooler(hidden_states[:, 0]))

    def head(self, hidden_states: Tensor) -> Any:
        """What the architecture computes from hidden_states (batch, time, hidden_size)."""
        raise TypeError(f"{type(self).__name__} defines no head()")

    def forward(
        self, input_ids: Tensor, token_type_ids: Tensor | None = None, attention_mask: Tensor | None = None
    ) -> Any:
        """`head` of `hidden_states`."""
        return self.head(self.hidden_states(input_ids, token_type_ids, attention_mask))

    @classmethod
    def weight_map(cls, config: BertConfig) -> WeightMap:
        hidden_size, before = config.hidden_size, f"{cls.base_model_prefix}embeddings"
        names: WeightMap = {
            "embed_tokens.weight": [
                HFTensor(f"{before}.word_embeddings.weight", config.vocab_size, tied_keys=cls.tied_weights_keys)
            ],
            "positions.weight": [HFTensor(f"{before}.position_embeddings.weight", config.max_position_embeddings)],
            "token_types.weight": [HFTensor(f"{before}.token_type_embeddings.weight", config.type_vocab_size)],
            **weight_and_bias("embed_norm", [f"{before}.LayerNorm"], hidden_size),
        }
        for i in range(config.num_hidden_layers):
            layer, hf_layer = f"encoder.layers.{i}", f"{cls.base_model_prefix}encoder.layer.{i}"
            self_attention = [f"{hf_layer}.attention.self.{part}" for part in ("query", "key", "value")]
            names |= {
                **weight_and_bias(f"{layer}.attention.qkv", self_attention, hidden_size),
                **weight_and_bias(f"{layer}.attention.o_proj", [f"{hf_layer}.attention.output.dense"], hidden_size),
                **weight_and_bias(f"{layer}.attention_norm", [f"{hf_layer}.attention.output.LayerNorm"], hidden_size),
                **weight_and_bias(
                    f"{layer}.feed_forward.up_proj", [f"{hf_layer}.intermediate.dense"], config.intermediate_size
                ),
                **weight_and_bias(f"{layer}.feed_forward.down_proj", [f"{hf_layer}.output.dense"], hidden_size),
                **weight_and_bias(f"{layer}.feed_forward_norm", [f"{hf_layer}.output.LayerNorm"], hidden_size),
            }
        if cls.has_pooler:
            names |= weight_and_bias("pooler", [f"{cls.base_model_prefix}pooler.dense"], hidden_size)
        return with_experts(names, config)


class BertModel(Bert):
    """The encoder alone."""

    architecture = "BertModel"
    base_model_prefix = ""

    def head(self, hidden_states: Tensor) -> tuple[Tensor, Tensor]:
        """The hidden states themselves, and the pooled output (batch, hidden_size)."""
        return hidden_states, self.pooled_output(hidden_states)


def weight_and_bias(name: str, hf_names: list[str], rows: int) -> WeightMap:
    """The map of a module's weight and bias: those of Hugging Face's modules, `rows` rows each, below each other."""
    return {
        f"{name}.{kind}": [HFTensor(f"{hf_name}.{kind}", rows) for hf_name in hf_names] for kind in ("weight", "bias")
    }
