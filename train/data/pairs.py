"""Pairs of texts, to learn one from the other: where they come from, and the batches that they make.

A token file holds them as documents: a source, its target, the next source, and so on.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np

from scratchgrad.errors import UserError
from scratchgrad.random import Purpose, generator
from scratchgrad.tools.text_files import PAIR_SUFFIXES, find_text_files, read_pairs
from scratchgrad.tools.tokenizer import Tokenizer
from scratchgrad.train.data.batches import Validation, in_full_batches
from scratchgrad.train.data.objective import IGNORE_INDEX, Batch, Ids
from scratchgrad.train.data.sources import Document, is_chosen
from scratchgrad.train.data.tasks import TASKS, Pair

PAD = "<pad>"  # fills up what is shorter than its neighbours, and starts what the decoder reads


class GeneratedPairs:
    """The first `count` pairs of a task, the same ones on every machine."""

    def __init__(self, task: str, count: int, validation: float) -> None:
        self.name, self.validation = f"{task}-{count}", validation
        self._task, self._count = TASKS[task], count

    def files(self) -> list[Path]:
        return []

    def documents(self) -> Iterator[Document]:
        pairs = (self._task(generator(0, Purpose.TASK, step=number)) for number in range(self._count))
        return _documents(pairs, self.validation)


class FilePairs:
    """The user's own: lines of .tsv files, source and target with a tab between; records of .jsonl and .jsonl.gz, with
    fields `source` and `target`.
    """

    name = "pairs"

    def __init__(self, globs: Sequence[str], validation: float) -> None:
        self._globs, self.validation = globs, validation

    def files(self) -> list[Path]:
        return find_text_files(self._globs, PAIR_SUFFIXES)

    def documents(self) -> Iterator[Document]:
        return _documents((pair for path in self.files() for pair in read_pairs(path)), self.validation)


def _documents(pairs: Iterator[Pair], validation: float) -> Iterator[Document]:
    """A pair is put into validation by a hash of its source: a source that occurs twice is not on both sides."""
    for source, target in pairs:
        is_validation = is_chosen(source, validation)
        yield Document(source, source, is_validation)
        yield Document(source, target, is_validation)


class Pairs:
    """The pairs of a token file, sources and targets each with the end of a text behind them.

    UserError where there is none, or one of them is longer than `context`.
    """

    def __init__(self, tokens: Ids, tokenizer: Tokenizer, context: int) -> None:
        self._pad, self._end = tokenizer.special_tokens[PAD], tokenizer.end_of_text
        self._tokens = tokens
        self._starts = np.flatnonzero(tokens == self._end) + 1  # a source has an even number, its target the next
        self._lengths = np.diff(self._starts, append=len(tokens) + 1)  # each with one token more, for the end
        if not len(self._starts):
            raise UserError(
                "there is no pair to train on, or none for validation: add pairs, or choose another data.validation"
            )
        too_long = int((self._lengths.reshape(-1, 2).max(axis=1) > context).sum())
        if too_long:
            raise UserError(
                f"{too_long} of {len(self)} pairs are longer than train.context = {context} tokens; the longest text "
                f"has {self._lengths.max()} with its end: raise train.context, or leave long pairs out"
            )

    def __len__(self) -> int:
        return len(self._starts) // 2

    @property
    def target_tokens(self) -> int:
        return int(self._lengths[1::2].sum())

    def batch(self, numbers: Sequence[int] | Ids) -> Batch:
        """ids (rows, longest source), mask (rows, 1, 1, longest source), targets (rows, longest target) of these pairs.

        The mask is True where a source has a token.
        """
        at = 2 * np.asarray(numbers)
        ids, targets = self._texts(at, self._pad), self._texts(at + 1, IGNORE_INDEX)
        mask = np.arange(ids.shape[1]) < self._lengths[at][:, None]
        return {"ids": ids, "mask": mask[:, None, None], "targets": targets}

    def _texts(self, numbers: Ids, filling: int) -> Ids:
        lengths = self._lengths[numbers]
        texts = np.full((len(numbers), lengths.max()), filling, np.int64)
        for text, start, length in zip(texts, self._starts[numbers], lengths, strict=True):
            text[: length - 1] = self._tokens[start : start + length - 1]
            text[length - 1] = self._end
        return texts


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
