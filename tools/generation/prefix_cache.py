"""Prompts that were read before, so that one that begins alike is read from where it differs."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from scratchgrad.models import KeyValueCache
from scratchgrad.models.cache import BLOCK

Tokens = tuple[int, ...]


class PrefixCache:
    """Keys and values of prompts, of at most `max_tokens` tokens together; those not asked for longest go first.

    What is reused is whole blocks of 64 tokens, as in vLLM: only so are the bits of a text the same with and without.
    """

    def __init__(self, max_tokens: int) -> None:
        self._max_tokens, self._tokens = max_tokens, 0
        self._entries: OrderedDict[Tokens, KeyValueCache] = OrderedDict()
        self._by_beginning: dict[Tokens, Tokens] = {}  # whole blocks -> an entry that begins so

    @property
    def tokens(self) -> int:
        """How many are held."""
        return self._tokens

    def get(self, prompt: Sequence[int]) -> KeyValueCache | None:
        """The longest beginning of this prompt that is known; None where there is none."""
        for blocks in range(len(prompt) // BLOCK, 0, -1):
            beginning = tuple(prompt[: blocks * BLOCK])
            if (entry := self._by_beginning.get(beginning)) is not None:
                self._entries.move_to_end(entry)
                return self._entries[entry].extract(0, len(beginning))
        return None

    def put(self, prompt: Sequence[int], cache: KeyValueCache) -> None:
        """Remember a prompt, which is the first row of `cache`, as far as it fills whole blocks."""
        length = min(len(prompt), int(cache.prefilled[0])) // BLOCK * BLOCK
        ids = tuple(prompt[:length])
        if not 0 < length <= self._max_tokens or ids in self._by_beginning:
            return
        self._entries[ids] = cache.extract(0, length)
        self._tokens += length
        self._by_beginning |= {ids[:end]: ids for end in range(BLOCK, length + 1, BLOCK)}
        while self._tokens > self._max_tokens:
            self._forget(next(iter(self._entries)))

    def _forget(self, ids: Tokens) -> None:
        del self._entries[ids]
        self._tokens -= len(ids)
        for end in range(BLOCK, len(ids) + 1, BLOCK):
            if self._by_beginning[ids[:end]] == ids:
                others = (entry for entry in reversed(self._entries) if entry[:end] == ids[:end])
                if (other := next(others, None)) is None:
                    del self._by_beginning[ids[:end]]
                else:
                    self._by_beginning[ids[:end]] = other
