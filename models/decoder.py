"""What all causal language models share: ids in, a score for every next token out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from scratchgrad import Tensor
from scratchgrad import functional as F
from scratchgrad.backend import to_device
from scratchgrad.models.attention import AttentionInputs
from scratchgrad.models.auxiliary import AuxOutputs
from scratchgrad.models.block import Stack
from scratchgrad.models.cache import Cache
from scratchgrad.models.model import Model
from scratchgrad.nn import Embedding, Linear


class Decoder(Model):
    """A family sets the parts below, and says where tokens stand: in `embed`, in `attention_inputs`, or in both."""

    objectives = ("causal",)

    embed_tokens: Embedding
    decoder: Stack
    lm_head: Linear | None  # None where the embedding's rows tell the next token, too

    def embed(self, ids: Tensor, positions: Tensor) -> Tensor:
        """ids (batch, time) integers; returns (batch, time, hidden).

        positions (time,) integers within the context, or (batch, time) where each text of the batch stands elsewhere.
        """
        out: Tensor = self.embed_tokens(ids)
        return out

    def attention_inputs(self, positions: Tensor) -> AttentionInputs:
        """What the blocks are told of tokens at these positions, which are as for `embed`."""
        return AttentionInputs()

    def hidden(self, ids: Tensor, cache: Cache | None = None, aux: AuxOutputs | None = None) -> Tensor:
        """ids (batch, time); the state (batch, time, hidden) from which the next tokens are told."""
        count, context = ids.shape[1], self.config.max_position_embeddings
        positions = np.arange(count) if cache is None else cache.positions(count)
        if count and (last := positions[..., -1].max()) >= context:
            raise ValueError(f"position {last} lies beyond the context of {context} tokens")
        places = Tensor(to_device(positions, ids.device))
        x, inputs = self.embed(ids, places), self.attention_inputs(places)
        if cache is not None and (mask := cache.mask(count)) is not None:
            inputs = inputs._replace(mask=Tensor(to_device(mask, ids.device)))
        aux = aux if aux is not None else AuxOutputs()
        out: Tensor = self.decoder(x, inputs, aux, recompute_every=self.recompute_every, cache=cache)
        return out

    def forward(self, ids: Tensor, cache: Cache | None = None) -> Tensor:
        """ids (batch, time) integers; logits (batch, time, vocabulary). With a cache, ids follow what it holds."""
        return F.linear(self.hidden(ids, cache), self.output_weight)

    def next_logits(self, ids: Tensor, cache: Cache | None = None) -> Tensor:
        """As `forward`, but for the last position alone: (batch, vocabulary)."""
        return F.linear(self.hidden(ids, cache)[:, -1], self.output_weight)

    def beginning(self, prompt: Sequence[int]) -> list[int]:
        """What the decoder has read when it tells its first token after `prompt`: all of it."""
        return list(prompt)

    def first_logits(self, prompt: Sequence[int]) -> tuple[Tensor, Cache]:
        """The logits (1, vocabulary) of what follows `prompt`, and a cache that knows it."""
        cache = self.new_cache(len(prompt))
        return self.next_logits(Tensor(to_device(np.array([prompt]), self.device)), cache), cache

    def loss(self, ids: Tensor, targets: Tensor) -> Tensor:  # type: ignore[override]
        """The sum of -log p(target) over all targets that are not -100; ids and targets (batch, time)."""
        aux = AuxOutputs()
        loss = F.linear_cross_entropy(self.hidden(ids, aux=aux), self.output_weight, targets)
        return self.with_auxiliary(loss, aux, targets)

    @property
    def output_weight(self) -> Tensor:
        return self.embed_tokens.weight if self.lm_head is None else self.lm_head.weight

    def new_cache(self, capacity: int | None = None) -> Cache:
        """Room for `capacity` tokens, by default for the whole context."""
        return Cache(len(self.decoder.layers), capacity or self.config.max_position_embeddings)
