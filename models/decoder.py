"""What all causal language models share: ids in, a score for every next token out."""

from __future__ import annotations

from scratchgrad import Tensor
from scratchgrad import functional as F
from scratchgrad.models.attention import AttentionInputs
from scratchgrad.models.auxiliary import Auxiliary
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

    def embed(self, ids: Tensor, first: int) -> Tensor:
        """ids (batch, time) integers, the first at position `first`; returns (batch, time, hidden)."""
        out: Tensor = self.embed_tokens(ids)
        return out

    def attention_inputs(self, first: int, count: int) -> AttentionInputs:
        """What the blocks are told of `count` tokens from position `first` on."""
        return AttentionInputs()

    def hidden(self, ids: Tensor, cache: Cache | None = None, said: Auxiliary | None = None) -> Tensor:
        """ids (batch, time); the state (batch, time, hidden) from which the next tokens are told."""
        first = cache.length if cache is not None else 0
        x, inputs = self.embed(ids, first), self.attention_inputs(first, ids.shape[1])
        said = said if said is not None else Auxiliary()
        out: Tensor = self.decoder(x, inputs, said, recompute_every=self.recompute_every, cache=cache)
        return out

    def forward(self, ids: Tensor, cache: Cache | None = None) -> Tensor:
        """ids (batch, time) integers; logits (batch, time, vocabulary). With a cache, ids follow what it holds."""
        return F.linear(self.hidden(ids, cache), self.output_weight)

    def next_logits(self, ids: Tensor, cache: Cache | None = None) -> Tensor:
        """As `forward`, but for the last position alone: (batch, vocabulary)."""
        return F.linear(self.hidden(ids, cache)[:, -1], self.output_weight)

    def loss(self, ids: Tensor, targets: Tensor) -> Tensor:  # type: ignore[override]
        """The sum of -log p(target) over all targets that are not -100; ids and targets (batch, time)."""
        said = Auxiliary()
        loss = F.linear_cross_entropy(self.hidden(ids, said=said), self.output_weight, targets)
        return self.with_auxiliary(loss, said, targets)

    @property
    def output_weight(self) -> Tensor:
        return self.embed_tokens.weight if self.lm_head is None else self.lm_head.weight

    def new_cache(self, capacity: int | None = None) -> Cache:
        """Room for `capacity` tokens, by default for the whole context."""
        return Cache(len(self.decoder.layers), capacity or self.config.max_position_embeddings)
