"""What all encoder-decoders share: an encoder reads the source, a decoder generates the target and attends to it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from scratchgrad import Tensor
from scratchgrad.backend import array_module, to_device, to_numpy
from scratchgrad.models.attention import AttentionInputs, expand_attention_mask
from scratchgrad.models.auxiliary import AuxOutputs
from scratchgrad.models.block import Stack
from scratchgrad.models.cache import KeyValueCache
from scratchgrad.models.config import LayerCount, Size
from scratchgrad.models.experts import ExpertsConfig
from scratchgrad.models.model import Model
from scratchgrad.nn import Dropout, Embedding, Module
from scratchgrad.ops.cross_entropy import IGNORE_INDEX


class EncoderDecoderConfig(ExpertsConfig):
    """Sizes by the names of Vaswani et al. (2017) and of Hugging Face's T5.

    num_decoder_layers is num_layers where it is left out. decoder_start_token_id stands before the first target;
    pad_token_id is what the decoder reads where a target is ignored.
    """

    vocab_size: Size
    d_model: Size
    d_ff: Size
    num_layers: LayerCount
    num_decoder_layers: LayerCount
    num_heads: Size
    pad_token_id: int = Field(default=0, ge=0)
    decoder_start_token_id: int = Field(default=0, ge=0)
    is_encoder_decoder: Literal[True] = True

    @model_validator(mode="before")
    @classmethod
    def _as_many_layers(cls, values: dict[str, Any]) -> dict[str, Any]:
        if values.get("num_decoder_layers") is None and values.get("num_layers") is not None:
            values = {**values, "num_decoder_layers": values["num_layers"]}
        return values

    @model_validator(mode="after")
    def _ids_are_tokens(self) -> Self:
        for name in ("pad_token_id", "decoder_start_token_id"):
            if getattr(self, name) >= self.vocab_size:
                raise ValueError(f"model.{name} = {getattr(self, name)} is none of the {self.vocab_size} tokens")
        return self


class EncoderDecoder(Model):
    """A family sets the modules below, and encodes positions: in `embed`, in the stacks' masks, or in both.

    attention_mask (batch, source length), booleans or 0/1 integers as in Hugging Face: 0 where a source is padded.
    """

    embed_tokens: Embedding  # of source and target
    encoder_dropout: Dropout  # on embedded tokens
    decoder_dropout: Dropout
    encoder: Stack
    decoder: Stack
    lm_head: Module  # hidden states -> logits; tied, a Linear whose weight is the embedding's

    head_modules: ClassVar[tuple[str, ...]] = ("lm_head",)
    output_scale = 1.0  # of the decoder's hidden states
    max_positions: int | None = None  # None where positions have no end

    def embed(self, input_ids: Tensor, positions: Tensor) -> Tensor:
        """input_ids (batch, time) integers; returns (batch, time, hidden_size).

        positions (time,) integers, or (batch, time) where rows stand at different ones.
        """
        out: Tensor = self.embed_tokens(input_ids)
        return out

    def encoder_mask(self, length: int, mask: Tensor | None) -> Tensor | None:
        """The mask of the encoder's self-attention, as `F.scaled_dot_product_attention` takes it.

        mask (batch, 1, 1, length): the source's tokens, or None where none is padding.
        """
        return mask

    def decoder_mask(self, count: int, length: int) -> Tensor | None:
        """What is added to the scores of the decoder's self-attention, for the last `count` of `length` tokens.

        Of a shorter text it holds from the end: it tells distances, not places.
        """
        return None

    def encode(self, input_ids: Tensor, attention_mask: Tensor | None = None, aux: AuxOutputs | None = None) -> Tensor:
        """input_ids (batch, source length) integers; encoder_hidden_states (batch, source length, hidden_size).

        ValueError where the mask has another shape, or a position is beyond the context.
        """
        aux = aux if aux is not None else AuxOutputs()
        mask = expand_attention_mask(attention_mask, input_ids.shape)
        inputs = AttentionInputs(mask=self.encoder_mask(input_ids.shape[1], mask))
        x = self.encoder_dropout(self._embedded(input_ids, None))
        out: Tensor = self.encoder(x, inputs, aux, recompute_every=self.recompute_every)
        return out

    def decoder_hidden_states(
        self,
        decoder_input_ids: Tensor,
        encoder_hidden_states: Tensor | None,
        attention_mask: Tensor | None = None,
        cache: KeyValueCache | None = None,
        aux: AuxOutputs | None = None,
    ) -> Tensor:
        """The last layer's output (batch, time, hidden_size), which `lm_head` takes.

        decoder_input_ids (batch, time) integers; with a cache, they follow the tokens that it holds. A cache keeps the
        keys and values of the first encoder_hidden_states (batch, source length, hidden_size); later calls need none.
        """
        aux = aux if aux is not None else AuxOutputs()
        count, past, source_mask = decoder_input_ids.shape[1], 0, None
        if encoder_hidden_states is not None:
            source_mask = expand_attention_mask(attention_mask, encoder_hidden_states.shape[:2])
        if cache is not None:
            past = int(cache.lengths.max(initial=0))
            if encoder_hidden_states is not None and not cache.encoder_lengths.any():
                cache.set_encoder_lengths(_source_lengths(encoder_hidden_states, attention_mask))
        inputs = AttentionInputs(
            mask=self.decoder_mask(count, past + count),
            encoder_hidden_states=encoder_hidden_states,
            encoder_attention_mask=source_mask,
        )
        x = self.decoder_dropout(self._embedded(decoder_input_ids, cache))
        out: Tensor = self.decoder(x, inputs, aux, recompute_every=self.recompute_every, cache=cache)
        return out if self.output_scale == 1 else out * self.output_scale

    def _embedded(self, input_ids: Tensor, cache: KeyValueCache | None) -> Tensor:
        count = input_ids.shape[1]
        positions = np.arange(count) if cache is None else cache.positions(count)
        last = positions[..., -1].max() if positions.size else 0
        if self.max_positions is not None and last >= self.max_positions:
            raise ValueError(f"position {last} lies beyond the context of {self.max_positions} tokens")
        return self.embed(input_ids, Tensor(to_device(positions, input_ids.device)))

    def forward(self, input_ids: Tensor, decoder_input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """input_ids (batch, source length), decoder_input_ids (batch, time); logits (batch, time, vocabulary)."""
        encoder_hidden_states = self.encode(input_ids, attention_mask)
        logits: Tensor = self.lm_head(
            self.decoder_hidden_states(decoder_input_ids, encoder_hidden_states, attention_mask)
        )
        return logits

    def decode(
        self,
        decoder_input_ids: Tensor,
        cache: KeyValueCache | None,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
    ) -> Tensor:
        """The logits (batch, vocabulary) of the token after the last; arguments as of `decoder_hidden_states`."""
        hidden_states = self.decoder_hidden_states(decoder_input_ids, encoder_hidden_states, attention_mask, cache)
        logits: Tensor = self.lm_head(hidden_states[:, -1])
        return logits

    def initial_decoder_input_ids(self, prompt: Sequence[int]) -> list[int]:
        """What the decoder has read when it generates its first token: decoder_start_token_id, whatever the source."""
        return [self.config.decoder_start_token_id]

    def prefill(self, prompt: Sequence[int], prefix: KeyValueCache | None = None) -> tuple[Tensor, KeyValueCache]:
        """The logits (1, vocabulary) of the first target of the source `prompt`, and a cache that holds both.

        An encoder looks at both sides of a token: a prefix is of no use to it.
        """
        source, start = (
            Tensor(to_device(np.array([ids]), self.device)) for ids in (prompt, self.initial_decoder_input_ids(prompt))
        )
        cache = self.new_cache()
        return self.decode(start, cache, self.encode(source)), cache

    def generation_config(self, end: int) -> dict[str, int]:
        start, pad = self.config.decoder_start_token_id, self.config.pad_token_id
        return {"decoder_start_token_id": start, "eos_token_id": end, "pad_token_id": pad}

    def shift_right(self, targets: Tensor) -> Tensor:
        """The decoder_input_ids for targets (batch, time): decoder_start_token_id, then all targets but the last.

        Where a target is IGNORE_INDEX the decoder reads pad_token_id.
        """
        ids = array_module(targets.data).empty_like(targets.data)
        ids[:, 1:] = targets.data[:, :-1]
        ids[ids == IGNORE_INDEX] = self.config.pad_token_id
        ids[:, :1] = self.config.decoder_start_token_id
        return Tensor(ids)

    def new_cache(self, rows: int = 1) -> KeyValueCache:
        """For so many texts, which have no tokens yet."""
        return KeyValueCache(len(self.decoder.layers), rows)


def _source_lengths(encoder_hidden_states: Tensor, attention_mask: Tensor | None) -> np.ndarray[Any, Any]:
    """How many states of each source count; ValueError where those do not come first."""
    rows, length, _ = encoder_hidden_states.shape
    if attention_mask is None:
        return np.full(rows, length)
    mask = to_numpy(attention_mask.data) != 0
    if (mask[:, 1:] > mask[:, :-1]).any():
        raise ValueError("with a cache, sources are padded behind their tokens: attention_mask has 0 before 1")
    counts: np.ndarray[Any, Any] = mask.sum(axis=1)
    return counts
