"""What a BERT is pre-trained for (Devlin et al. 2019, section 3.1): masked tokens, and the next sentence."""

from __future__ import annotations

from typing import Any, ClassVar

from scratchgrad import Tensor
from scratchgrad.models.bert import Bert, BertConfig, weight_and_bias
from scratchgrad.models.feed_forward import ACTIVATIONS
from scratchgrad.models.output import output_layer
from scratchgrad.models.weights import HFTensor, WeightMap
from scratchgrad.nn import Embedding, LayerNorm, Linear, Module


class MaskedHead(Module):
    """Hidden states to logits: `transform`, then `decoder`, a Linear whose weight is the embedding's."""

    decoder: Module

    def __init__(self, config: BertConfig, embedding: Embedding) -> None:
        self.activation = ACTIVATIONS[config.hidden_act]
        self.decoder = output_layer(embedding, is_tied=True, bias=True)
        self.dense = Linear(config.hidden_size, config.hidden_size, std=config.initializer_range)
        self.norm = LayerNorm(config.hidden_size, eps=config.layer_norm_eps)

    def transform(self, hidden_states: Tensor) -> Tensor:
        """What `decoder` takes, of hidden_states' shape."""
        out: Tensor = self.norm(self.activation(self.dense(hidden_states)))
        return out

    def forward(self, hidden_states: Tensor) -> Tensor:
        """hidden_states (..., hidden_size); logits (..., vocabulary)."""
        logits: Tensor = self.decoder(self.transform(hidden_states))
        return logits


class BertForMaskedLM(Bert):
    """Predicts masked tokens."""

    architecture = "BertForMaskedLM"
    head_modules: ClassVar[tuple[str, ...]] = ("masked_head",)
    has_pooler = False
    tied_weights_keys = ("cls.predictions.decoder.weight",)
    # What a pre-trained model has beside: the authors' own models are published as of this architecture.
    keys_to_ignore_on_load: ClassVar[tuple[str, ...]] = (
        *Bert.keys_to_ignore_on_load,
        r"(bert\.pooler\.dense|cls\.seq_relationship)\.(weight|bias)",
    )

    def __init__(self, config: BertConfig, *, dropout: float = 0.0) -> None:
        super().__init__(config, dropout=dropout)
        self.masked_head = MaskedHead(config, self.embed_tokens)

    def head(self, hidden_states: Tensor) -> Any:
        """hidden_states (..., hidden_size); logits (..., vocabulary) of the token at each place."""
        return self.masked_head(hidden_states)

    @classmethod
    def weight_map(cls, config: BertConfig) -> WeightMap:
        hf_head = "cls.predictions"
        return {
            **super().weight_map(config),
            **weight_and_bias("masked_head.dense", [f"{hf_head}.transform.dense"], config.hidden_size),
            **weight_and_bias("masked_head.norm", [f"{hf_head}.transform.LayerNorm"], config.hidden_size),
            "masked_head.decoder.bias": [
                HFTensor(f"{hf_head}.bias", config.vocab_size, tied_keys=(f"{hf_head}.decoder.bias",))
            ],
        }


class BertForPreTraining(BertForMaskedLM):
    """Predicts masked tokens, and whether the second segment followed the first: class 0 for yes, 1 for no."""

    architecture = "BertForPreTraining"
    head_modules = ("masked_head", "pooler", "next_sentence")
    is_default = True
    has_pooler = True
    keys_to_ignore_on_load = Bert.keys_to_ignore_on_load

    next_sentence: Module

    def __init__(self, config: BertConfig, *, dropout: float = 0.0) -> None:
        super().__init__(config, dropout=dropout)
        self.next_sentence = Linear(config.hidden_size, 2, std=config.initializer_range)

    def head(self, hidden_states: Tensor) -> tuple[Tensor, Tensor]:
        """hidden_states (batch, time, hidden_size); logits (batch, time, vocabulary) and, of segments, (batch, 2)."""
        return self.masked_head(hidden_states), self.next_sentence(self.pooled_output(hidden_states))

    @classmethod
    def weight_map(cls, config: BertConfig) -> WeightMap:
        return {**super().weight_map(config), **weight_and_bias("next_sentence", ["cls.seq_relationship"], 2)}
