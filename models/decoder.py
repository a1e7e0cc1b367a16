"""What all causal language models share: token ids in, logits of every next token out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from scratchgrad import Tensor
from scratchgrad.backend import to_device
from scratchgrad.models.attention import AttentionInputs
from scratchgrad.models.auxiliary import AuxOutputs
from scratchgrad.models.block import Stack
from scratchgrad.models.cache import BLOCK, KeyValueCache
from scratchgrad.models.model import Model
from scratchgrad.nn import Embedding, Module


class Decoder(Model):
    """A family sets the modules below, and encodes positions: in `embed`, in `attention_inputs`, or in both."""

    embed_tokens: Embedding
    decoder: Stack
    lm_head: Module  # hidden states -> logits; tied, a Linear whose weight is the embedding's

    head_modules: ClassVar[tuple[str, ...]] = ("lm_head",)
    headless: ClassVar[type[Model] | None] = None  # the class for files of the bare model, without an output layer

    @classmethod
    def for_files(cls, config: Mapping[str, Any]) -> type[Model]:
        is_bare = config.get("architectures") == [cls.bare_architecture]
        field = cls.config_class.model_fields.get("tie_word_embeddings")
        is_tied = config.get("tie_word_embeddings", field is not None and field.default)
        return cls.headless if is_bare and not is_tied and cls.headless is not None else cls

    def embed(self, input_ids: Tensor, positions: Tensor) -> Tensor:
        """input_ids (batch, time) integers; returns (batch, time, hidden_size).

        positions (time,) integers within the context, or (batch, time) where rows stand at different ones.
        """
        out: Tensor = self.embed_tokens(input_ids)
        return out

    def attention_inputs(self, positions: Tensor) -> AttentionInputs:
        """What attention needs to know of tokens at these positions, which are as for `embed`."""
        return AttentionInputs()

    def hidden_states(
        self,
        input_ids: Tensor,
        cache: KeyValueCache | None = None,
        aux: AuxOutputs | None = None,
        position_ids: Tensor | None = None,
    ) -> Tensor:
        """input_ids (batch, time) integers; the last layer's output (batch, time, hidden_size), which `lm_head` takes.

        With a cache, input_ids follow the tokens that it holds. Auxiliary losses and loads go into `aux`. position_ids
        (batch, time) integers, without a cache: of rows in which several texts stand one after another. A text begins
        wherever one is 0, and its tokens attend to that text alone. ValueError where a position is beyond the context.
        """
        count, context = input_ids.shape[1], self.config.max_position_embeddings
        if position_ids is None:
            positions = np.arange(count) if cache is None else cache.positions(count)
            last = positions[..., -1].max(initial=-1) if positions.size else -1
            on_device = Tensor(to_device(positions, input_ids.device))
        else:
            _check_position_ids(position_ids, input_ids, cache)
            last, on_device = int(position_ids.data.max(initial=-1)), position_ids
        if last >= context:
            raise ValueError(f"position {last} lies beyond the context of {context} tokens")
        x, inputs = self.embed(input_ids, on_device), self.attention_inputs(on_device)
        if position_ids is not None:
            inputs = inputs._replace(mask=_within_texts(position_ids))
        aux = aux if aux is not None else AuxOutputs()
        out: Tensor = self.decoder(x, inputs, aux, recompute_every=self.recompute_every, cache=cache)
        return out

    def forward(self, input_ids: Tensor, cache: KeyValueCache | None = None) -> Tensor:
        """The logits (batch, time, vocabulary) of the next tokens; arguments as of `hidden_states`."""
        logits: Tensor = self.lm_head(self.hidden_states(input_ids, cache))
        return logits

    def decode(self, input_ids: Tensor, cache: KeyValueCache | None = None) -> Tensor:
        """As `forward`, for the last position alone: (batch, vocabulary)."""
        logits: Tensor = self.lm_head(self.hidden_states(input_ids, cache)[:, -1])
        return logits

    def initial_decoder_input_ids(self, prompt: Sequence[int]) -> list[int]:
        """What the decoder has read when it generates its first token after `prompt`: all of it."""
        return list(prompt)

    def prefill(self, prompt: Sequence[int], prefix: KeyValueCache | None = None) -> tuple[Tensor, KeyValueCache]:
        """The logits (1, vocabulary) of the token after `prompt`, and a cache that holds the prompt.

        The prompt is read in blocks of 64 tokens that begin at multiples of 64, so that the bits of a whole block
        depend on its tokens and those before it alone, and not on where a cached prefix ended. prefix: a cache of one
        row that holds the first tokens of this prompt; it is copied as far as it is of use. ValueError where the prompt
        is empty or longer than the context.
        """
        if not len(prompt):
            raise ValueError("a prompt has at least one token, as there is nothing to go on from otherwise")
        cache = self.new_cache() if prefix is None else prefix.extract(0, len(prompt) - 1)
        for start in range(int(cache.lengths[0]), len(prompt), BLOCK):
            ids = to_device(np.array([prompt[start : start + BLOCK]]), self.device)
            hidden_states = self.hidden_states(Tensor(ids), cache)
        cache.prefilled = cache.lengths
        logits: Tensor = self.lm_head(hidden_states[:, -1])
        return logits, cache

    def new_cache(self, rows: int = 1) -> KeyValueCache:
        """For so many texts, which have no tokens yet."""
        return KeyValueCache(len(self.decoder.layers), rows)


def _check_position_ids(position_ids: Tensor, input_ids: Tensor, cache: KeyValueCache | None) -> None:
    if cache is not None:
        raise ValueError("position_ids are for rows of several texts, and a cache holds one text a row")
    if position_ids.shape != input_ids.shape or position_ids.dtype.kind not in "iu":
        raise ValueError(
            f"position_ids must be integers of shape {input_ids.shape}, one for each token, not "
            f"{position_ids.dtype} of shape {position_ids.shape}"
        )


def _within_texts(position_ids: Tensor) -> Tensor:
    """Booleans (batch, 1, time, time): which tokens are of one text."""
    text = (position_ids.data == 0).cumsum(axis=1)[:, None]
    return Tensor(text[..., None] == text[:, :, None])
