"""Which rows a step sees: a function of the seed and the row's number, so that a resumed run has nothing to restore.

Two kinds: batches over windows of a text, and batches over examples. An objective chooses one, and makes the arrays.
Several sources are mixed row by row, in the ratio of their weights.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple, Protocol

import numpy as np

from scratchgrad.errors import UserError
from scratchgrad.random import Purpose, generator
from scratchgrad.tools.data import Mixture, TokenizedExample, TokenStore

Array = np.ndarray[Any, Any]
Batch = dict[str, Array]  # by name, each (rows, ...)


class BatchField(NamedTuple):
    """The declaration of an array of a batch.

    shape: in words, as "(batch, time)". padding: what it holds in a row that only fills a batch up.
    """

    shape: str
    dtype: type[np.generic]
    padding: float = 0


class RowSource(Protocol):
    def rows(self, numbers: Sequence[int]) -> Batch:
        """The rows of these numbers, as one batch."""


class Batches(ABC):
    """The rows of training, by number from 0 on: each source gives its rows in another order every epoch.

    A token here is one of the text that is learnt from, whatever becomes of it in a row.
    """

    def __init__(self, counts: Sequence[int], weights: Sequence[float], seed: int) -> None:
        """counts: rows of an epoch of each source. weights: in which ratio sources give rows."""
        self._counts, self._seed = counts, seed
        self._shares = [weight / sum(weights) for weight in weights]
        self._mixture = Mixture(weights, seed)
        self._order = lru_cache(maxsize=2 * len(counts))(self._draw)

    @abstractmethod
    def rows(self, numbers: Sequence[int]) -> Batch:
        """The rows of these numbers, as one batch."""

    @abstractmethod
    def num_tokens(self, numbers: Sequence[int]) -> int:
        """Of the text that the rows of these numbers are made of."""

    @abstractmethod
    def sample(self, limit: int) -> Batch:
        """Rows of about `limit` tokens of text, one of each source at least, spread evenly over all of it.

        The same on every call.
        """

    def epochs(self, rows: int) -> list[float]:
        """How often each source's text is read in so many rows."""
        return [rows * share / count for share, count in zip(self._shares, self._counts, strict=True)]

    def _place(self, number: int) -> tuple[int, int]:
        """The source of a row, and where its text stands there: see `_draw`."""
        source, of_source = self._mixture.place(number)
        epoch, place = divmod(of_source, self._counts[source])
        return source, int(self._order(source, epoch)[place])

    @abstractmethod
    def _draw(self, source: int, epoch: int) -> Array:
        """(rows of an epoch,): where the text of each row stands, in the order of an epoch."""


class Window(NamedTuple):
    """ids (window,) int64 of a text that is `text` as a whole. is_target (window,): which a model is to predict.

    number: of the row, never the same twice in training. What is drawn for a row depends on that and the seed alone, so
    that it does not matter which rank makes it, or when.
    """

    ids: Array
    is_target: Array
    number: int
    text: Array


class WindowBatches(Batches):
    """Windows of text: an epoch cuts it from a random offset on, and takes the windows in a random order."""

    def __init__(
        self,
        stores: Sequence[TokenStore],
        weights: Sequence[float],
        collate: Callable[[Sequence[Window]], Batch],
        *,
        window: int,
        stride: int,
        seed: int,
    ) -> None:
        """window: the tokens of text that a row is made of. stride: from one window to the next, at most a window.

        UserError where a text is shorter than a window.
        """
        self._stores, self._collate, self._window, self._stride = stores, collate, window, stride
        for store in stores:
            if len(store.tokens) < window:
                raise UserError(
                    f"the {_split(store)} text has {len(store.tokens)} tokens, and one sequence needs {window}: "
                    "add text to data.files, change data.validation, or lower train.context"
                )
        self._room = [(len(store.tokens) - window) // stride + 1 for store in stores]
        # one less than there is room for, so that every offset leaves as many
        super().__init__([max(1, room - 1) for room in self._room], weights, seed)

    def rows(self, numbers: Sequence[int]) -> Batch:
        return self._collate([self._made(*self._place(number), number) for number in numbers])

    def num_tokens(self, numbers: Sequence[int]) -> int:
        return len(numbers) * self._stride

    def sample(self, limit: int) -> Batch:
        windows: list[Window] = []
        for source, (room, share) in enumerate(zip(self._room, self._shares, strict=True)):
            count = max(1, min(room, int(limit * share) // self._stride))
            starts = [i * room // count * self._stride for i in range(count)]
            windows += [self._made(source, start, len(windows) + i) for i, start in enumerate(starts)]
        return self._collate(windows)

    def _made(self, source: int, start: int, number: int) -> Window:
        store, end = self._stores[source], start + self._window
        return Window(store.read(start, end), store.is_target[start:end], number, store.tokens)

    def _draw(self, source: int, epoch: int) -> Array:
        rng, count = generator(self._seed, Purpose.SHUFFLE, step=epoch, microbatch=source), self._counts[source]
        spare = len(self._stores[source].tokens) - self._window - (count - 1) * self._stride
        offset = int(rng.integers(0, min(spare, self._stride - 1) + 1))
        return offset + rng.permutation(count) * self._stride


class ExampleBatches(Batches):
    """Whole examples, one a row."""

    def __init__(
        self,
        stores: Sequence[TokenStore],
        weights: Sequence[float],
        collate: Callable[[Sequence[TokenizedExample]], Batch],
        *,
        context: int,
        seed: int,
        row_length: Callable[[TokenStore], Array] = lambda store: np.diff(store.offsets),
    ) -> None:
        """row_length: of each of a store's examples the tokens that it needs in a row, by default all of them.

        UserError where there is no example, or one needs more than `context`.
        """
        self._stores, self._collate = stores, collate
        for store in stores:
            if not len(store):
                raise UserError(f"there is no {_split(store)} example: add examples, or change data.validation")
            lengths = row_length(store)
            if too_long := int((lengths > context).sum()):
                raise UserError(
                    f"{too_long} of {len(store)} {_split(store)} examples are longer than train.context = {context} "
                    f"tokens; the longest has {lengths.max()}: raise train.context, or leave long examples out"
                )
        super().__init__([len(store) for store in stores], weights, seed)

    def rows(self, numbers: Sequence[int]) -> Batch:
        return self._made([self._place(number) for number in numbers])

    def num_tokens(self, numbers: Sequence[int]) -> int:
        places = [self._place(number) for number in numbers]
        return sum(int(self._stores[i].offsets[at + 1] - self._stores[i].offsets[at]) for i, at in places)

    def sample(self, limit: int) -> Batch:
        places: list[tuple[int, int]] = []
        for source, (store, share) in enumerate(zip(self._stores, self._shares, strict=True)):
            count = max(1, min(len(store), int(len(store) * limit * share) // len(store.tokens)))
            places += [(source, i * len(store) // count) for i in range(count)]
        return self._made(places)

    def _made(self, places: Sequence[tuple[int, int]]) -> Batch:
        return self._collate([self._stores[source][place] for source, place in places])

    def _draw(self, source: int, epoch: int) -> Array:
        return generator(self._seed, Purpose.SHUFFLE, step=epoch, microbatch=source).permutation(self._counts[source])


@dataclass(frozen=True)
class Validation:
    """Rows of validation text in full batches; rows that only fill one up have no targets.

    text_bytes: of the text that the targets spell; None where they do not spell all of it.
    """

    batches: list[Batch]
    text_bytes: int | None = None


def in_full_batches(rows: Batch, batch_size: int, fields: Mapping[str, BatchField]) -> list[Batch]:
    """All rows in batches of one size, the last one filled up with the padding of its fields."""
    count = len(next(iter(rows.values())))
    missing = -count % batch_size
    filled = {
        name: np.concatenate([array, np.full((missing, *array.shape[1:]), fields[name].padding, array.dtype)])
        for name, array in rows.items()
    }
    return [
        {name: array[start : start + batch_size] for name, array in filled.items()}
        for start in range(0, count + missing, batch_size)
    ]


def stack_rows(rows: Sequence[Batch]) -> Batch:
    """Rows of equal shapes as one batch."""
    return {name: np.stack([row[name] for row in rows]) for name in rows[0]}


def pad_rows(rows: Sequence[Array], padding: int) -> Array:
    """Integers (length,) as (rows, longest) int64, each filled up behind its end."""
    padded = np.full((len(rows), max(map(len, rows))), padding, np.int64)
    for out, row in zip(padded, rows, strict=True):
        out[: len(row)] = row
    return padded


def _split(store: TokenStore) -> str:
    name = store.folder.name.partition("-")[0]
    return "training" if name == "train" else name
