"""A model that writes: token by token with a cache of what was read, and text that appears as it is made."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

import numpy as np

from scratchgrad import Tensor, no_grad
from scratchgrad.backend import to_device, to_numpy
from scratchgrad.errors import UserError
from scratchgrad.models import Decoder
from scratchgrad.tools.sampling import Sampling
from scratchgrad.tools.tokenizer import Tokenizer


def generate_ids(
    model: Decoder,
    prompt: Sequence[int],
    max_tokens: int,
    sampling: Sampling,
    *,
    sample: int = 0,
    ends: Collection[int] = (),
    use_cache: bool = True,
) -> Iterator[int]:
    """The ids that the model writes after `prompt`: at most `max_tokens`, and at most what its context has room for.

    An id of `ends` is the last one, and is not given. Without the cache each token reads the whole text again: the same
    ids, later. UserError where the prompt is empty or longer than the context.
    """
    context = model.config.max_position_embeddings
    if not prompt:
        raise UserError("the prompt has no tokens; a model needs at least one to go on from")
    if len(prompt) > context:
        raise UserError(f"the prompt has {len(prompt)} tokens, and the model's context holds {context}; shorten it")
    return _generate(model, list(prompt), min(max_tokens, context - len(prompt) + 1), sampling, sample, ends, use_cache)


def stream_text(tokenizer: Tokenizer, ids: Iterator[int], stops: Sequence[str] = ()) -> Iterator[str]:
    """The text of ids, in pieces as it becomes certain: whole characters, and nothing that may yet turn out to begin a
    stop string. The text ends before the stop string that is complete first; no further id is then asked for.
    """
    decoder, held = tokenizer.stream_decoder(), ""
    for token in ids:
        held += decoder.feed(token)
        found = [(at + len(stop), at) for stop in stops if (at := held.find(stop)) >= 0]
        if found:
            _, at = min(found)
            if at:
                yield held[:at]
            return
        certain = len(held) - max((_overlap(held, stop) for stop in stops), default=0)
        if certain:
            yield held[:certain]
            held = held[certain:]
    held += decoder.finish()
    if held:
        yield held


def _overlap(text: str, stop: str) -> int:
    """The length of the longest end of `text` that `stop` begins with, short of all of it."""
    return next((n for n in range(min(len(text), len(stop) - 1), 0, -1) if text.endswith(stop[:n])), 0)


def _generate(
    model: Decoder,
    ids: list[int],
    max_tokens: int,
    sampling: Sampling,
    sample: int,
    ends: Collection[int],
    use_cache: bool,
) -> Iterator[int]:
    device = model.device
    cache = model.new_cache(len(ids) + max_tokens) if use_cache else None
    was_training = model.training
    model.eval()
    unread = ids
    try:
        for _ in range(max_tokens):
            with no_grad():
                logits = model.next_logits(Tensor(to_device(np.array([unread]), device)), cache)
            token = sampling.choose(to_numpy(logits.data)[0], sample, len(ids))
            if token in ends:
                return
            yield token
            ids.append(token)
            unread = [token] if use_cache else ids
    finally:
        model.train(was_training)
