"""A T5 under another head than the vocabulary's: one that classifies whole texts."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field

from scratchgrad import Tensor
from scratchgrad import functional as F
from scratchgrad.backend import Array, array_module
from scratchgrad.models.auxiliary import AuxOutputs
from scratchgrad.models.labels import Labels
from scratchgrad.models.model import Model
from scratchgrad.models.t5 import T5, T5Config
from scratchgrad.models.weights import HFTensor, WeightMap
from scratchgrad.nn import Dropout, Linear, Module


class T5ClassifierConfig(Labels, T5Config):
    """Sizes of a T5, and the labels that it gives; eos_token_id ends a text."""

    eos_token_id: int = Field(default=1, ge=0)


class ClassificationHead(Module):
    """Two layers, tanh between them."""

    def __init__(self, hidden_size: int, labels: int, *, dropout: float, std: float) -> None:
        self.dropout, self.dense = Dropout(dropout), Linear(hidden_size, hidden_size, std=std)
        self.out_dropout, self.out_proj = Dropout(dropout), Linear(hidden_size, labels, std=std)

    def forward(self, hidden_states: Tensor) -> Tensor:
        """hidden_states (batch, hidden_size); logits (batch, labels)."""
        logits: Tensor = self.out_proj(self.out_dropout(F.tanh(self.dense(self.dropout(hidden_states)))))
        return logits


class T5ForSequenceClassification(Model):
    """A class of a whole text; or several, or numbers, as problem_type says.

    As in transformers, encoder and decoder both read the text, the decoder one token later, and its last hidden state
    tells the class. It differs from transformers in where a text ends: at its last token, which is to be eos_token_id.
    """

    config_class = T5ClassifierConfig
    architecture = "T5ForSequenceClassification"
    base_model_prefix = "transformer."
    head_modules: ClassVar[tuple[str, ...]] = ("classification_head",)
    keys_to_ignore_on_load = tuple(rf"(transformer\.)?{pattern}" for pattern in T5.keys_to_ignore_on_load)

    def __init__(self, config: T5ClassifierConfig, *, dropout: float = 0.0) -> None:
        super().__init__(config)
        self.body = T5(config, dropout=dropout)
        del self.body.lm_head
        self.body.output_scale = 1.0
        self.classification_head = ClassificationHead(
            config.d_model, config.num_labels, dropout=dropout, std=config.d_model**-0.5
        )

    def hidden_states(
        self, input_ids: Tensor, attention_mask: Tensor | None = None, aux: AuxOutputs | None = None
    ) -> Tensor:
        """input_ids, attention_mask (batch, time); the decoder's output (batch, time, hidden_size)."""
        body = self.body
        body.recompute_every = self.recompute_every
        encoded = body.encode(input_ids, attention_mask, aux)
        return body.decoder_hidden_states(body.shift_right(input_ids), encoded, attention_mask, aux=aux)

    def last_tokens(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Array:
        """(batch,) integers: where each text's last token stands; without a mask, the last that is no padding."""
        xp = array_module(input_ids.data)
        mask = input_ids.data != self.config.pad_token_id if attention_mask is None else attention_mask.data != 0
        places: Array = (xp.arange(input_ids.shape[1]) * mask).argmax(axis=-1)
        return places

    def head(self, hidden_states: Tensor, last_tokens: Array) -> Tensor:
        """hidden_states (batch, time, hidden_size), last_tokens (batch,); logits (batch, labels)."""
        rows = array_module(last_tokens).arange(len(last_tokens))
        logits: Tensor = self.classification_head(hidden_states[rows, last_tokens])
        return logits

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """The logits (batch, labels). Texts that are shorter are filled up behind their ends."""
        return self.head(self.hidden_states(input_ids, attention_mask), self.last_tokens(input_ids, attention_mask))

    def generation_config(self, end: int) -> dict[str, int]:
        return self.body.generation_config(end)

    @classmethod
    def weight_map(cls, config: Any) -> WeightMap:
        def below(hf_tensor: HFTensor) -> HFTensor:
            tied = tuple(f"{cls.base_model_prefix}{key}" for key in hf_tensor.tied_keys if key != "lm_head.weight")
            return hf_tensor._replace(name=f"{cls.base_model_prefix}{hf_tensor.name}", tied_keys=tied)

        body = {
            f"body.{name}": [below(hf_tensor) for hf_tensor in hf_tensors]
            for name, hf_tensors in T5.weight_map(config).items()
            if not name.startswith("lm_head.")
        }
        layers = (("dense", config.d_model), ("out_proj", config.num_labels))
        return body | {
            f"classification_head.{layer}.{kind}": [HFTensor(f"classification_head.{layer}.{kind}", rows)]
            for layer, rows in layers
            for kind in ("weight", "bias")
        }
