"""Pairs of texts, to learn one from the other: the batches that they make."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from scratchgrad.errors import UserError
from scratchgrad.random import Purpose, generator
from scratchgrad.tools.data import TokenStore
from scratchgrad.tools.tokenizer import Tokenizer
from scratchgrad.train.data.batches import Validation, in_full_batches
from scratchgrad.train.data.objective import IGNORE_INDEX, Batch, Ids

PAD = "<pad>"  # fills up what is shorter than its neighbours, and starts what the decoder reads


class Pairs:
    """The pairs of a token store, sources and targets each with the end of a text behind them.

    UserError where there is none, or one of them is longer than `context`.
    """

    def __init__(self, store: TokenStore, tokenizer: Tokenizer, context: int) -> None:
        self._pad, self._store = tokenizer.special_tokens[PAD], store
        if not len(store):
            raise UserError(
                "there is no pair to train on, or none for validation: add pairs, or choose another data.validation"
            )
        targets = np.add.reduceat(store.is_target, store.offsets[:-1], dtype=np.int64)
        self._lengths = np.stack([np.diff(store.offsets) - targets, targets])  # (2, pairs)
        too_long = int((self._lengths.max(axis=0) > context).sum())
        if too_long:
            raise UserError(
                f"{too_long} of {len(self)} pairs are longer than train.context = {context} tokens; the longest text "
                f"has {self._lengths.max()} with its end: raise train.context, or leave long pairs out"
            )

    def __len__(self) -> int:
        return len(self._store)

    @property
    def target_tokens(self) -> int:
        return int(self._lengths[1].sum())

    def batch(self, numbers: Sequence[int] | Ids) -> Batch:
        """ids (rows, longest source), mask (rows, 1, 1, longest source), targets (rows, longest target) of these pairs.

        The mask is True where a source has a token.
        """
        pairs = [self._store[int(number)] for number in numbers]
        ids = _filled_up([pair.ids[~pair.is_target] for pair in pairs], self._pad)
        targets = _filled_up([pair.ids[pair.is_target] for pair in pairs], IGNORE_INDEX)
        mask = np.arange(ids.shape[1]) < self._lengths[0][np.asarray(numbers)][:, None]
        return {"ids": ids, "mask": mask[:, None, None], "targets": targets}


def _filled_up(texts: Sequence[Ids], filling: int) -> Ids:
    rows = np.full((len(texts), max(map(len, texts))), filling, np.int64)
    for row, text in zip(rows, texts, strict=True):
        row[: len(text)] = text
    return rows


class PairBatches:
    """All pairs, in another order every epoch. A batch is filled up to its longest source, and its longest target."""

    def __init__(self, pairs: Pairs, batch_size: int, seed: int) -> None:
        self._pairs, self._batch_size = pairs, batch_size
        self._order = lru_cache(maxsize=2)(
            lambda epoch: generator(seed, Purpose.SHUFFLE, step=epoch).permutation(len(pairs))
        )

    def rows(self, step: int, first: int, last: int) -> Batch:
        numbers = range(step * self._batch_size + first, step * self._batch_size + last)
        places = (divmod(number, len(self._pairs)) for number in numbers)
        return self._pairs.batch([self._order(epoch)[place] for epoch, place in places])


def validation_pairs(pairs: Pairs, batch_size: int, limit: int) -> Validation:
    """Pairs with about `limit` tokens of targets, spread evenly over all, the same on every call."""
    count = max(1, min(len(pairs), len(pairs) * limit // pairs.target_tokens))
    return in_full_batches(pairs.batch(np.arange(count) * len(pairs) // count), batch_size)
