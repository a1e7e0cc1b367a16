"""Decoders under another head than the vocabulary's: bare ones, and those that classify whole texts."""

from __future__ import annotations

import re
from typing import Any, ClassVar

import numpy as np

from scratchgrad import Tensor
from scratchgrad.backend import Array, array_module
from scratchgrad.models.auxiliary import AuxOutputs
from scratchgrad.models.decoder import Decoder
from scratchgrad.models.labels import Labels
from scratchgrad.models.model import Model
from scratchgrad.models.weights import HFTensor, WeightMap
from scratchgrad.nn import Linear, Module


class ClassifierConfig(Labels):
    """Beside a decoder's sizes: its labels, and the id that texts of a batch are filled up with."""

    pad_token_id: int | None = None


class DecoderBody(Model):
    """What these have in common: a decoder of `decoder_class` without its output layer."""

    decoder_class: ClassVar[type[Decoder]]

    def __init__(self, config: Any, *, dropout: float = 0.0) -> None:
        super().__init__(config)
        self.body = self.decoder_class(config, dropout=dropout)
        del self.body.lm_head

    def hidden_states(self, input_ids: Tensor, aux: AuxOutputs | None = None) -> Tensor:
        """As of `Decoder`: input_ids (batch, time) integers; returns (batch, time, hidden_size)."""
        self.body.recompute_every = self.recompute_every
        return self.body.hidden_states(input_ids, aux=aux)

    @classmethod
    def body_map(cls, config: Any, prefix: str = "") -> WeightMap:
        """The map of the body's weights; prefix: what stands before the names of its tensors, and is left out."""
        return {
            f"body.{name}": [HFTensor(t.name.removeprefix(prefix), t.rows, t.is_transposed) for t in hf_tensors]
            for name, hf_tensors in cls.decoder_class.weight_map(config).items()
            if not name.startswith("lm_head.")
        }


class HeadlessDecoder(DecoderBody):
    """A decoder whose output layer was not saved with it: it gives hidden states, and no logits.

    `Decoder.for_files` leads to it from a directory of the bare model that ties no output layer to its embedding.
    """

    def __init_subclass__(cls) -> None:
        decoder = cls.decoder_class
        cls.config_class, decoder.headless = decoder.config_class, cls
        cls.keys_to_ignore_on_load = tuple(
            pattern.removeprefix(re.escape(decoder.base_model_prefix)) for pattern in decoder.keys_to_ignore_on_load
        )

    def __init__(self, config: Any, *, dropout: float = 0.0) -> None:
        super().__init__(config, dropout=dropout)
        # Of its files alone: of the class it would be one more that recipes could name, and that nothing trains.
        self.architecture = self.decoder_class.bare_architecture or ""  # type: ignore[misc]

    def forward(self, input_ids: Tensor) -> Tensor:
        """The `hidden_states`."""
        return self.hidden_states(input_ids)

    @classmethod
    def weight_map(cls, config: Any) -> WeightMap:
        return cls.body_map(config, prefix=cls.decoder_class.base_model_prefix)


class DecoderForSequenceClassification(DecoderBody):
    """A class of a whole text, told from its last token; or several, or numbers, as problem_type says."""

    head_modules = ("score",)
    score: Module

    def __init__(self, config: Any, *, dropout: float = 0.0) -> None:
        super().__init__(config, dropout=dropout)
        self.score = Linear(self.body.embed_tokens.embedding_dim, config.num_labels, bias=False, std=0.02)

    def last_tokens(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Array:
        """(batch,) integers: where each text's last token stands, which is the last that the mask says is one, or that
        is not config.pad_token_id.

        ValueError for several texts where neither is there to tell.
        """
        ids, pad = input_ids.data, self.config.pad_token_id
        xp = array_module(ids)
        if attention_mask is None and pad is None and len(ids) > 1:
            raise ValueError(
                "where the texts of a batch end is not known: give attention_mask, or a config with pad_token_id"
            )
        if attention_mask is not None:
            is_token = attention_mask.data != 0
        else:
            is_token = xp.ones(ids.shape, np.bool_) if pad is None else ids != pad
        places: Array = (xp.arange(ids.shape[1]) * is_token).argmax(axis=-1)
        return places

    def head(self, hidden_states: Tensor, last_tokens: Array) -> Tensor:
        """hidden_states (batch, time, hidden_size), last_tokens (batch,); logits (batch, labels)."""
        rows = array_module(last_tokens).arange(len(last_tokens))
        logits: Tensor = self.score(hidden_states[rows, last_tokens])
        return logits

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """The logits (batch, labels). Texts that are shorter are filled up behind their ends."""
        return self.head(self.hidden_states(input_ids), self.last_tokens(input_ids, attention_mask))

    @classmethod
    def weight_map(cls, config: Any) -> WeightMap:
        return {**cls.body_map(config), "score.weight": [HFTensor("score.weight", config.num_labels)]}
