"""What generation needs of a model, and how it is asked: prompts in blocks, then a token of each text at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any, Protocol

import numpy as np

from scratchgrad import Tensor, fixed_weights, no_grad
from scratchgrad.backend import to_device, to_numpy
from scratchgrad.batch_invariance import batch_invariant
from scratchgrad.errors import UserError
from scratchgrad.models import KeyValueCache
from scratchgrad.nn import Module
from scratchgrad.packed_weights import PackedModel

Values = np.ndarray[Any, Any]


class GenerationModel(Protocol):
    """Decoders go on from a prompt; encoder-decoders answer it."""

    config: Any
    training: bool
    packed_weights: PackedModel

    @property
    def device(self) -> str: ...

    def train(self, mode: bool = True) -> Any: ...

    def parameters(self) -> Iterator[Tensor]: ...

    def initial_decoder_input_ids(self, prompt: Sequence[int]) -> list[int]:
        """What the decoder has read when it generates its first token."""

    def prefill(self, prompt: Sequence[int], prefix: KeyValueCache | None = None) -> tuple[Tensor, KeyValueCache]:
        """The logits (1, vocabulary) of the first token, and a cache of one row that holds the prompt."""

    def decode(self, input_ids: Tensor, cache: KeyValueCache) -> Tensor:
        """The logits (rows, vocabulary) of what follows input_ids (rows, 1), which follow what the cache holds."""


def check_prompt(model: GenerationModel, prompt: Sequence[int]) -> None:
    """UserError where the model cannot read it."""
    context = model.config.max_position_embeddings
    if not len(prompt):
        raise UserError("the prompt has no tokens; a model needs at least one to go on from")
    if len(prompt) > context:
        raise UserError(f"the prompt has {len(prompt)} tokens, and the model's context holds {context}; shorten it")
    size = model.config.vocab_size
    if not 0 <= min(prompt) <= max(prompt) < size:
        raise UserError(f"the prompt has ids from {min(prompt)} to {max(prompt)}; the model's go from 0 to {size - 1}")


def longest_text(model: GenerationModel, prompt: Sequence[int], max_tokens: int | None) -> int:
    """How many tokens may follow: max_tokens, or fewer where the context is full before."""
    room: int = model.config.max_position_embeddings - len(model.initial_decoder_input_ids(prompt)) + 1
    return room if max_tokens is None else min(max_tokens, room)


def prefill(
    model: GenerationModel, prompt: Sequence[int], prefix: KeyValueCache | None = None
) -> tuple[Values, KeyValueCache]:
    """The logits (vocabulary,) of a text's first token, and a cache of one row that holds the prompt."""
    with no_grad():
        logits, cache = model.prefill(prompt, prefix)
    return to_numpy(logits.data)[0], cache


def decode(model: GenerationModel, tokens: Sequence[int], cache: KeyValueCache) -> Values:
    """The logits (rows, vocabulary) of what follows these tokens, one of each row.

    On the CPU a row has the bits that it has alone.
    """
    ids = Tensor(to_device(np.array(tokens, np.int64)[:, None], model.device))
    mode = batch_invariant() if model.device == "cpu" else nullcontext()
    with no_grad(), fixed_weights(model.packed_weights), mode:
        return to_numpy(model.decode(ids, cache).data)


def notice_new_weights(model: GenerationModel) -> None:
    """Before texts begin: what `decode` made of the weights is made anew where they have changed since."""
    model.packed_weights.keep(parameter.data for parameter in model.parameters())


@contextmanager
def evaluating(model: Module | GenerationModel) -> Iterator[None]:
    """Inside, nothing is dropped; afterwards the model is as it was."""
    was_training = model.training
    if was_training:
        model.train(False)
    try:
        yield
    finally:
        if was_training:
            model.train(True)


@contextmanager
def generating(model: GenerationModel) -> Iterator[None]:
    """As `evaluating`; a model that returns to training drops its packed weights."""
    was_training = model.training
    try:
        with evaluating(model):
            yield
    finally:
        if was_training:
            model.packed_weights.drop()
