"""What all encoder-decoders share: one text is read whole, another is told token by token with an eye on it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from scratchgrad import Tensor
from scratchgrad import functional as F
from scratchgrad.backend import array_module, to_device
from scratchgrad.models.attention import AttentionInputs
from scratchgrad.models.auxiliary import AuxOutputs
from scratchgrad.models.block import Stack
from scratchgrad.models.cache import Cache
from scratchgrad.models.experts import ExpertsConfig
from scratchgrad.models.model import Model
from scratchgrad.nn import Dropout, Embedding, Linear


class EncoderDecoderConfig(ExpertsConfig):
    """Sizes by the names of Vaswani et al. (2017) and of Hugging Face's T5.

    num_decoder_layers is num_layers where it is left out. decoder_start_token_id stands before the first target;
    pad_token_id is what the decoder reads where a target does not count.
    """

    vocab_size: int = Field(gt=0)
    d_model: int = Field(gt=0)
    d_ff: int = Field(gt=0)
    num_layers: int = Field(gt=0)
    num_decoder_layers: int = Field(gt=0)
    num_heads: int = Field(gt=0)
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
    """A family sets the parts below, and says where tokens stand: in `embed`, in what the stacks are told, or in both.

    Masks are booleans (batch, 1, 1, length): which tokens of the source may be
    seen, as those that only fill it up may not.
    """

    embed_tokens: Embedding  # of both texts
    dropout: Dropout  # on embedded tokens
    encoder: Stack
    decoder: Stack
    lm_head: Linear | None  # None where the embedding's rows tell the next token, too

    output_scale = 1.0  # of the decoder's states, before logits are made of them
    label_smoothing = 0.0  # the share of a target that is spread over the vocabulary; in training alone
    longest: int | None = None  # text that there are positions for

    def embed(self, ids: Tensor, positions: Tensor) -> Tensor:
        """ids (batch, time) integers; returns (batch, time, hidden).

        positions (time,) integers, or (batch, time) where each text of the batch stands elsewhere.
        """
        out: Tensor = self.embed_tokens(ids)
        return out

    def encoder_mask(self, count: int, mask: Tensor | None) -> Tensor | None:
        """What the encoder's attention is told of a source of `count` tokens, of which `mask` may be seen."""
        return mask

    def decoder_mask(self, count: int, length: int, mask: Tensor | None) -> Tensor | None:
        """What the decoder's attention is told of the last `count` of `length` tokens."""
        return mask

    def encode(self, ids: Tensor, mask: Tensor | None = None, aux: AuxOutputs | None = None) -> Tensor:
        """ids (batch, length) integers; the memory (batch, length, hidden) that the decoder looks at."""
        aux = aux if aux is not None else AuxOutputs()
        inputs = AttentionInputs(mask=self.encoder_mask(ids.shape[1], mask))
        out: Tensor = self.encoder(self._read(ids, None), inputs, aux, recompute_every=self.recompute_every)
        return out

    def decode(
        self,
        ids: Tensor,
        memory: Tensor | None,
        memory_mask: Tensor | None = None,
        cache: Cache | None = None,
        aux: AuxOutputs | None = None,
    ) -> Tensor:
        """ids (batch, time), behind what the cache holds; states (batch, time, hidden) that tell the next tokens.

        A cache keeps what it makes of the first memory; later calls need none.
        """
        aux = aux if aux is not None else AuxOutputs()
        count, past, mask = ids.shape[1], 0, None
        if cache is not None:
            past, seen = cache.length, cache.mask(count)
            mask = None if seen is None else Tensor(to_device(seen, ids.device))
        inputs = AttentionInputs(
            mask=self.decoder_mask(count, past + count, mask), memory=memory, memory_mask=memory_mask
        )
        x = self._read(ids, cache)
        out: Tensor = self.decoder(x, inputs, aux, recompute_every=self.recompute_every, cache=cache)
        return out if self.output_scale == 1 else out * self.output_scale

    def _read(self, ids: Tensor, cache: Cache | None) -> Tensor:
        """Embedded tokens, behind what the cache holds."""
        count = ids.shape[1]
        positions = np.arange(count) if cache is None else cache.positions(count)
        if self.longest is not None and count and (last := positions[..., -1].max()) >= self.longest:
            raise ValueError(f"position {last} lies beyond the context of {self.longest} tokens")
        out: Tensor = self.dropout(self.embed(ids, Tensor(to_device(positions, ids.device))))
        return out

    def forward(self, ids: Tensor, decoder_ids: Tensor, mask: Tensor | None = None) -> Tensor:
        """ids (batch, length), decoder_ids (batch, time); the logits (batch, time, vocabulary) of what comes next."""
        return F.linear(self.decode(decoder_ids, self.encode(ids, mask), mask), self.output_weight)

    def next_logits(
        self, ids: Tensor, cache: Cache | None, memory: Tensor | None = None, memory_mask: Tensor | None = None
    ) -> Tensor:
        """The logits (batch, vocabulary) of what follows ids (batch, time); arguments as of `decode`."""
        return F.linear(self.decode(ids, memory, memory_mask, cache)[:, -1], self.output_weight)

    def beginning(self, prompt: Sequence[int]) -> list[int]:
        """What the decoder has read when it tells its first token: whatever the source, the start."""
        return [self.config.decoder_start_token_id]

    def first_logits(self, prompt: Sequence[int]) -> tuple[Tensor, Cache]:
        """The logits (1, vocabulary) of the first target of the source `prompt`, and a cache that knows both."""
        source, start = (Tensor(to_device(np.array([ids]), self.device)) for ids in (prompt, self.beginning(prompt)))
        cache = self.new_cache(start.shape[1])
        return self.next_logits(start, cache, self.encode(source)), cache

    def generation_config(self, end: int) -> dict[str, int]:
        start, pad = self.config.decoder_start_token_id, self.config.pad_token_id
        return {"decoder_start_token_id": start, "eos_token_id": end, "pad_token_id": pad}

    def loss(self, ids: Tensor, targets: Tensor, mask: Tensor | None = None) -> Tensor:  # type: ignore[override]
        """The sum of -log p(target) over all targets that are not -100, each told from those before it and the source.

        ids (batch, length) and targets (batch, time) integers. In training, targets are smoothed.
        """
        aux = AuxOutputs()
        memory = self.encode(ids, mask, aux)
        states = self.decode(self.shifted_right(targets), memory, mask, aux=aux)
        smoothing = self.label_smoothing if self.training else 0.0
        loss = F.linear_cross_entropy(states, self.output_weight, targets, label_smoothing=smoothing)
        return self.with_auxiliary(loss, aux, targets)

    def shifted_right(self, targets: Tensor) -> Tensor:
        """What the decoder reads to tell targets (batch, time): the start, then all targets but the last."""
        read = array_module(targets.data).empty_like(targets.data)
        read[:, 1:] = targets.data[:, :-1]
        read[read < 0] = self.config.pad_token_id
        read[:, :1] = self.config.decoder_start_token_id
        return Tensor(read)

    @property
    def output_weight(self) -> Tensor:
        return self.embed_tokens.weight if self.lm_head is None else self.lm_head.weight

    def new_cache(self, capacity: int | None = None) -> Cache:
        """Room for `capacity` tokens of the decoder, by default for the whole context."""
        return Cache(len(self.decoder.layers), capacity or self.config.max_position_embeddings)
