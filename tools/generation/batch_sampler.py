"""Several texts at once, token by token: a batch that texts join and leave at any step."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any, Literal, NamedTuple

import numpy as np

from scratchgrad.models import KeyValueCache
from scratchgrad.tools.generation.model import (
    GenerationModel,
    check_prompt,
    decode,
    evaluating,
    generating,
    longest_text,
    notice_new_weights,
    prefill,
)
from scratchgrad.tools.generation.prefix_cache import PrefixCache
from scratchgrad.tools.generation.sampling import check_logits, sample_token, token_log_prob, top_log_probs
from scratchgrad.tools.generation.sampling_params import SamplingParams
from scratchgrad.tools.generation.text_stream import TextStream
from scratchgrad.tools.tokenizer import Tokenizer

FinishReason = Literal["stop", "length", "error"]
Values = np.ndarray[Any, Any]


class Token(NamedTuple):
    """row: what `add` gave. id: None where the text is over and the token that ended it does not belong to it.

    text: what has become certain of it, where there is a tokenizer. finish_reason: "stop" (a stop token or a stop
    string), "length" (max_tokens, or the context is full) or "error" with the last of a text, and None before. error:
    why the text could not go on, then.
    """

    row: int
    id: int | None
    log_prob: float | None = None
    top_log_probs: Sequence[tuple[int, float]] = ()
    text: str = ""
    finish_reason: FinishReason | None = None
    error: Exception | None = None


@dataclass(frozen=True)
class Request:
    """A text that is wanted. sample: its number among those of the same prompt and seed, which are drawn apart."""

    prompt: Sequence[int]
    params: SamplingParams
    sample: int = 0


class _Row:
    """A text that is being written."""

    def __init__(self, number: int, request: Request, model: GenerationModel, stream: TextStream | None) -> None:
        self.number, self.request, self.stream = number, request, stream
        read = model.initial_decoder_input_ids(request.prompt)
        self.start, self.written = len(read), 0
        self.limit = longest_text(model, request.prompt, request.params.max_tokens)
        self.read = read
        self.newest = -1
        self.is_over = False
        self._seen: Values | None = None

    def choose(self, logits: Values) -> Token:
        """The next token, given the logits (vocabulary,)."""
        try:
            return self._choose(logits)
        except Exception as error:
            return self.fail(error)

    def fail(self, error: Exception) -> Token:
        """The last token of a text that cannot go on."""
        self.is_over = True
        return Token(self.number, None, finish_reason="error", error=error)

    def _choose(self, logits: Values) -> Token:
        params = self.request.params
        if params.repetition_penalty != 1 and self._seen is None:
            self._seen = np.zeros(len(logits), bool)
            self._seen[self.read] = True
        position = self.start + self.written
        token = sample_token(logits, params, sample=self.request.sample, position=position, seen=self._seen)
        if token in params.stop_token_ids:
            self.is_over = True
            return Token(self.number, None, text=self.stream.finish() if self.stream else "", finish_reason="stop")
        if self._seen is not None:
            self._seen[token] = True
        self.newest, self.written = token, self.written + 1
        text = self.stream.feed(token) if self.stream else ""
        reason: FinishReason | None = None
        if self.stream is not None and self.stream.stopped:
            reason = "stop"
        elif self.written == self.limit:
            reason = "length"
            text += self.stream.finish() if self.stream else ""
        self.is_over = reason is not None
        if params.logprobs is None:
            return Token(self.number, token, text=text, finish_reason=reason)
        top = top_log_probs(logits, params.logprobs) if params.logprobs else ()
        return Token(self.number, token, token_log_prob(logits, token), top, text, reason)


class BatchSampler:
    """Texts that grow together. `add` one at any time; each `step` gives a token of every text that is not over.

    A text is the same, to the last bit of its log-probabilities, whatever other texts there are, when it joined, and
    whether its prompt was read before: its draws depend on (seed, sample, position) alone. (On a GPU its last bits may
    depend on the batch.)

    tokenizer: makes text of the tokens, and is needed for stop strings. batch_size: at most so many texts are written
    at once, and others wait; None for all that come. prefix_cache: where beginnings of prompts are looked for and kept.
    The model's weights must not change while texts are written.

    What goes wrong with one text alone (its prompt cannot be read, its logits are not finite) ends that text, with its
    reason in its last token; the others go on with the same bits. An error in what they share ends all of them, and is
    raised.
    """

    def __init__(
        self,
        model: GenerationModel,
        *,
        tokenizer: Tokenizer | None = None,
        batch_size: int | None = None,
        prefix_cache: PrefixCache | None = None,
    ) -> None:
        self._model, self._tokenizer, self._batch_size = model, tokenizer, batch_size
        self._prefix_cache = prefix_cache
        self._numbers = count()
        self._waiting: deque[_Row] = deque()
        self._rows: list[_Row] = []  # in the order of the cache
        self._cache: KeyValueCache | None = None

    def add(self, request: Request) -> int:
        """The number that its tokens bear. UserError where the prompt is empty or longer than the context."""
        check_prompt(self._model, request.prompt)
        if request.params.stop and self._tokenizer is None:
            raise ValueError("stop strings need a tokenizer that makes text of tokens: BatchSampler(tokenizer=...)")
        stream = None if self._tokenizer is None else TextStream(self._tokenizer, tuple(request.params.stop))
        row = _Row(next(self._numbers), request, self._model, stream)
        self._waiting.append(row)
        return row.number

    def cancel(self, row: int) -> None:
        """No further token of this text is wanted. Nothing happens where it is over."""
        self._waiting = deque(waiting for waiting in self._waiting if waiting.number != row)
        for live in self._rows:
            live.is_over = live.is_over or live.number == row

    @property
    def is_idle(self) -> bool:
        """There is no text to be written."""
        return not self._waiting and all(row.is_over for row in self._rows)

    def step(self) -> list[Token]:
        """The next token of every text, in the order in which the texts were added."""
        try:
            with evaluating(self._model):
                self._leave()
                logits: list[Values] = []
                if self._cache is not None and self._rows:
                    logits += list(decode(self._model, [row.newest for row in self._rows], self._cache))
                joined, failed = self._join()
                tokens = [row.choose(scores) for row, scores in zip(self._rows, [*logits, *joined], strict=True)]
                tokens += failed
                self._leave()
        except BaseException:
            self._rows, self._cache = [], None
            self._waiting.clear()
            raise
        return sorted(tokens, key=lambda token: token.row)

    def __iter__(self) -> Iterator[list[Token]]:
        """Step by step, until no text is left."""
        with generating(self._model):
            while not self.is_idle:
                yield self.step()

    def _join(self) -> tuple[list[Values], list[Token]]:
        """Read the prompts of those that wait, as many as there is room for; the logits of their first tokens.

        And the last tokens of those whose prompts could not be read.
        """
        if self._waiting and not self._rows:
            notice_new_weights(self._model)
        logits: list[Values] = []
        failed: list[Token] = []
        read: dict[tuple[int, ...], tuple[Values, KeyValueCache]] = {}
        while self._waiting and (self._batch_size is None or len(self._rows) < self._batch_size):
            row = self._waiting.popleft()
            prompt = tuple(row.request.prompt)
            if prompt not in read:
                try:
                    read[prompt] = self._read(prompt)
                except Exception as fault:
                    failed.append(row.fail(fault))
                    continue
            scores, cache = read[prompt]
            if self._cache is None:
                self._cache = KeyValueCache(len(cache.layers), rows=0)
            self._cache.extend(cache)
            self._rows.append(row)
            logits.append(scores)
        return logits, failed

    def _read(self, prompt: tuple[int, ...]) -> tuple[Values, KeyValueCache]:
        known = None if self._prefix_cache is None else self._prefix_cache.get(prompt)
        logits, cache = prefill(self._model, prompt, known)
        check_logits(logits, f"token {len(prompt)}")
        if self._prefix_cache is not None:
            self._prefix_cache.put(prompt, cache)
        return logits, cache

    def _leave(self) -> None:
        """Rows of texts that are over are taken by the last ones, so that hardly anything is moved."""
        going = [place for place, row in enumerate(self._rows) if not row.is_over]
        if self._cache is None or len(going) == len(self._rows):
            return
        last = [place for place in going if place >= len(going)]
        order = [last.pop() if self._rows[place].is_over else place for place in range(len(going))]
        self._cache.select(order)
        self._rows = [self._rows[place] for place in order]


def id_of(token: Token) -> int | None:
    """Its id; the error that ended its text is raised."""
    if token.error is not None:
        raise token.error
    return token.id


def generate_ids(
    model: GenerationModel, prompt: Sequence[int], params: SamplingParams, *, sample: int = 0
) -> Iterator[int]:
    """The ids of one text, as they are made: see `BatchSampler`. What ends it by an error is raised."""
    sampler = BatchSampler(model)
    sampler.add(Request(prompt, params, sample))
    return (found for tokens in sampler for token in tokens if (found := id_of(token)) is not None)


def generate(
    model: GenerationModel, prompts: Collection[Sequence[int]], params: SamplingParams, **options: Any
) -> list[list[int]]:
    """The ids of a text for each prompt; options as of `BatchSampler`. What ends one by an error is raised."""
    sampler = BatchSampler(model, **options)
    texts: dict[int, list[int]] = {sampler.add(Request(prompt, params)): [] for prompt in prompts}
    for tokens in sampler:
        for token in tokens:
            if (found := id_of(token)) is not None:
                texts[token.row].append(found)
    return list(texts.values())
