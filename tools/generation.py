"""Models that write: several texts at once, token by token, with a cache of what was read."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, Protocol

import numpy as np

from scratchgrad import Tensor, fixed_weights, no_grad
from scratchgrad.backend import to_device, to_numpy
from scratchgrad.errors import UserError
from scratchgrad.models import Cache
from scratchgrad.nn import Module
from scratchgrad.tools.sampling import Sampling, log_probability


class Writer(Protocol):
    """What generation needs of a model. Decoders go on from a prompt; encoder-decoders answer it."""

    config: Any
    training: bool

    @property
    def device(self) -> str: ...

    def train(self, mode: bool = True) -> Any: ...

    def initial_decoder_input_ids(self, prompt: Sequence[int]) -> list[int]:
        """What the decoder has read when it tells its first token."""

    def prefill(self, prompt: Sequence[int]) -> tuple[Tensor, Cache]:
        """The logits (1, vocabulary) of the first token, and a cache that knows the prompt."""

    def decode(self, input_ids: Tensor, cache: Cache) -> Tensor:
        """The logits (text, vocabulary) of what follows input_ids (text, 1), which follow what the cache holds."""


class Token(NamedTuple):
    """text: the number of the text that it goes on. log_probability: by the model alone, before all filters; None where
    `Generation` was not asked for it.
    """

    text: int
    id: int
    log_probability: float | None


class Generation:
    """Texts that grow together: iterate to get, step by step, a list with one token of each text that is not over.

    Text number i goes on from prompts[i], with the draws of sample number samples[i]: it is the same whatever other
    texts there are. It is over after `max_tokens`, where the context is full, at an id of `ends` (which is not given),
    or when `end` was called. Equal prompts are read once. UserError where a prompt is empty or longer than the context.
    log_probabilities: tell those of the tokens, too, which takes a pass over all logits.
    """

    def __init__(
        self,
        model: Writer,
        prompts: Sequence[Sequence[int]],
        max_tokens: int,
        sampling: Sampling,
        *,
        samples: Sequence[int] | None = None,
        ends: Collection[int] = (),
        log_probabilities: bool = False,
    ) -> None:
        for prompt in prompts:
            check_prompt(model, prompt)
        self._model, self._prompts, self._sampling, self._ends = model, prompts, sampling, ends
        self._samples = [0] * len(prompts) if samples is None else samples
        self._lengths = np.array([len(model.initial_decoder_input_ids(prompt)) for prompt in prompts])
        self._limits = np.minimum(max_tokens, model.config.max_position_embeddings - self._lengths + 1)
        self._log_probabilities = log_probabilities
        self._over: set[int] = set()

    def end(self, text: int) -> None:
        """No further token of this text is wanted."""
        self._over.add(text)

    def __iter__(self) -> Iterator[list[Token]]:
        with evaluating(self._model):
            logits, cache = read_all(self._model, self._prompts, int(self._limits.max()))
            live, seen = list(range(len(self._prompts))), self._tokens_so_far(logits.shape[1])
            for step in range(int(self._limits.max())):
                tokens = [self._choose(text, step, row, seen) for text, row in zip(live, logits, strict=True)]
                self._over.update(token.text for token in tokens if token.id in self._ends)
                yield [token for token in tokens if token.text not in self._over]
                rows = [
                    row for row, text in enumerate(live) if text not in self._over and step + 1 < self._limits[text]
                ]
                if not rows:
                    return
                if len(rows) < len(live):
                    cache.arrange(rows)
                    live, tokens = [live[row] for row in rows], [tokens[row] for row in rows]
                logits = next_logits(self._model, [token.id for token in tokens], cache)

    def _choose(self, text: int, step: int, logits: np.ndarray[Any, Any], seen: np.ndarray[Any, Any] | None) -> Token:
        seen_here = None if seen is None else seen[text]
        token = self._sampling.choose(logits, self._samples[text], int(self._lengths[text]) + step, seen_here)
        if seen_here is not None:
            seen_here[token] = True
        return Token(text, token, log_probability(logits, token) if self._log_probabilities else None)

    def _tokens_so_far(self, vocabulary: int) -> np.ndarray[Any, Any] | None:
        """(text, vocabulary) booleans: the tokens that a text has; None where nobody asks."""
        if self._sampling.repetition_penalty == 1:
            return None
        seen = np.zeros((len(self._prompts), vocabulary), bool)
        for row, prompt in zip(seen, self._prompts, strict=True):
            row[self._model.initial_decoder_input_ids(prompt)] = True
        return seen


def generate_ids(
    model: Writer,
    prompt: Sequence[int],
    max_tokens: int,
    sampling: Sampling,
    *,
    sample: int = 0,
    ends: Collection[int] = (),
) -> Iterator[int]:
    """The ids of one text, as they are made: see `Generation`."""
    generation = Generation(model, [prompt], max_tokens, sampling, samples=[sample], ends=ends)
    return (token.id for tokens in generation for token in tokens)


def check_prompt(model: Writer, prompt: Sequence[int]) -> None:
    """UserError where the model cannot read it."""
    context = model.config.max_position_embeddings
    if not prompt:
        raise UserError("the prompt has no tokens; a model needs at least one to go on from")
    if len(prompt) > context:
        raise UserError(f"the prompt has {len(prompt)} tokens, and the model's context holds {context}; shorten it")


def read_all(model: Writer, prompts: Sequence[Sequence[int]], max_tokens: int) -> tuple[np.ndarray[Any, Any], Cache]:
    """The logits (text, vocabulary) of each text's first token, and one cache with room for `max_tokens` of them.

    Every prompt is read by itself, as it would be alone.
    """
    read: dict[tuple[int, ...], tuple[Tensor, Cache]] = {}
    with no_grad():
        for prompt in map(tuple, prompts):
            if prompt not in read:
                read[prompt] = model.prefill(prompt)
        parts = [read[tuple(prompt)] for prompt in prompts]
        logits = np.concatenate([to_numpy(first.data) for first, _ in parts])
        return logits, Cache.joined([cache for _, cache in parts], max_tokens)


def next_logits(model: Writer, ids: Sequence[int], cache: Cache) -> np.ndarray[Any, Any]:
    """The logits (text, vocabulary) of what follows these tokens, one of each text."""
    with no_grad(), fixed_weights(cache.derived):
        return to_numpy(model.decode(Tensor(to_device(np.array(ids)[:, None], model.device)), cache).data)


@contextmanager
def evaluating(model: Writer | Module) -> Iterator[None]:
    """Inside, nothing is dropped; afterwards the model is as it was."""
    was_training = model.training
    model.train(False)
    try:
        yield
    finally:
        model.train(was_training)
