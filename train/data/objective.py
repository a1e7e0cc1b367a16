"""What a model is asked about a text: how windows of tokens become the named arrays that its loss takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Protocol, Self

import numpy as np

from scratchgrad import Tensor
from scratchgrad.backend import to_device
from scratchgrad.tools.tokenizer import Tokenizer

Ids = np.ndarray[Any, Any]
Batch = dict[str, Ids]  # each (rows, ...); `targets` are ids, and IGNORE_INDEX where nothing is asked
IGNORE_INDEX = -100


class Objective(Protocol):
    """window: the tokens of text that a row is made of. stride: from one window to the next, at most a window.

    tells_all: every token of the text is a target once, so that the loss can be told in bits per byte of text.
    special_tokens: what the tokenizer must have, beside the token between documents; one that is learnt gets them.
    """

    special_tokens: ClassVar[tuple[str, ...]]
    window: int
    stride: int
    tells_all: bool

    @classmethod
    def of(cls, context: int, tokens: Ids, tokenizer: Tokenizer, seed: int) -> Self:
        """For sequences of `context` tokens of the text `tokens`. Each kind takes of these what it uses."""

    def rows(self, windows: Ids, numbers: Sequence[int]) -> Batch:
        """windows (rows, window) int64 -> named arrays, each (rows, ...), one of them `targets`.

        Other arrays of targets have names that end with `targets`; those in `targets` are what a loss is divided by.

        numbers: one for each row, never the same twice in training. What is drawn for a row depends on the seed and its
        number alone, so that it does not matter which rank makes it, or when.
        """


class NextToken:
    """Every token is told from those before it."""

    special_tokens: ClassVar[tuple[str, ...]] = ()
    tells_all = True

    def __init__(self, context: int) -> None:
        self.window, self.stride = context + 1, context

    @classmethod
    def of(cls, context: int, tokens: Ids, tokenizer: Tokenizer, seed: int) -> Self:
        return cls(context)

    def rows(self, windows: Ids, numbers: Sequence[int]) -> Batch:
        """ids, targets (rows, context)."""
        return {"ids": windows[:, :-1], "targets": windows[:, 1:]}


def count_targets(batch: Batch) -> int:
    return int((batch["targets"] != IGNORE_INDEX).sum())


def on_device(batch: Mapping[str, Ids], device: str) -> dict[str, Tensor]:
    return {name: Tensor(to_device(array, device)) for name, array in batch.items()}
