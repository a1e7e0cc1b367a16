"""Span corruption (Raffel et al. 2020, section 3.1.4): stretches of text are taken out, and the model puts them back.

    Thank you <extra_id_0> me to your party <extra_id_1> week. </s>
    <extra_id_0> for inviting <extra_id_1> last </s>

Each stretch leaves a sentinel of its own; the target is the stretches, each behind its sentinel. The end of a text
stands for </s>.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Self

import numpy as np

from scratchgrad.errors import UserError
from scratchgrad.random import Purpose, generator
from scratchgrad.tools.tokenizer import Tokenizer
from scratchgrad.train.data.objective import Batch, Ids

SHARE = 0.15  # of the tokens that is taken out
MEAN_SPAN = 3  # tokens
SENTINELS = 100
SHORTEST = 4  # context: a token that stays, a sentinel, and the end


class Spans:
    """seed: of all that is drawn for a row, beside its number.

    All rows are of one shape: a window is as long as the context has room for once its spans are sentinels.
    """

    # In T5's vocabulary the first sentinel has the largest id.
    special_tokens: ClassVar[tuple[str, ...]] = ("<pad>", *(f"<extra_id_{i}>" for i in reversed(range(SENTINELS))))
    tells_all = False

    def __init__(self, context: int, tokenizer: Tokenizer, seed: int) -> None:
        if context < SHORTEST:
            raise UserError(f"train.context = {context} is too short to take spans out; it needs {SHORTEST} or more")
        self.window = context - 2
        while _source_length(self.window + 1) <= context:
            self.window += 1
        self.stride = self.window
        self._taken, self._spans = _counts(self.window)
        if self._spans > SENTINELS:
            raise UserError(
                f"train.context = {context} needs {self._spans} sentinels, and there are {SENTINELS}; shorten it"
            )
        self._seed, self._end = seed, tokenizer.end_of_text
        self._sentinels = [tokenizer.special_tokens[f"<extra_id_{i}>"] for i in range(self._spans)]

    @classmethod
    def of(cls, context: int, tokens: Ids, tokenizer: Tokenizer, seed: int) -> Self:
        return cls(context, tokenizer, seed)

    def rows(self, windows: Ids, numbers: Sequence[int]) -> Batch:
        """ids (rows, context); targets (rows, tokens taken out + spans + 1)."""
        made = [
            self._row(window, generator(self._seed, Purpose.SPANS, step=number))
            for window, number in zip(windows, numbers, strict=True)
        ]
        ids, targets = zip(*made, strict=True)
        return {"ids": np.stack(ids), "targets": np.stack(targets)}

    def _row(self, window: Ids, rng: np.random.Generator) -> tuple[Ids, Ids]:
        kept = _random_lengths(len(window) - self._taken, self._spans, rng)
        taken = _random_lengths(self._taken, self._spans, rng)
        pieces = np.split(window, np.cumsum(np.stack([kept, taken], axis=1))[:-1])  # kept, taken, kept, taken, ...
        ids, targets = [], []
        for sentinel, stays, goes in zip(self._sentinels, pieces[::2], pieces[1::2], strict=True):
            ids += [stays, [sentinel]]
            targets += [[sentinel], goes]
        return np.concatenate([*ids, [self._end]]), np.concatenate([*targets, [self._end]])


def _counts(window: int) -> tuple[int, int]:
    """How many tokens of a window are taken out, in how many spans."""
    taken = max(1, round(SHARE * window))
    return taken, max(1, round(taken / MEAN_SPAN))


def _source_length(window: int) -> int:
    taken, spans = _counts(window)
    return window - taken + spans + 1


def _random_lengths(total: int, parts: int, rng: np.random.Generator) -> Ids:
    """`parts` positive lengths that add up to `total`, each way to cut it as likely as any other."""
    cuts = np.sort(rng.permutation(total - 1)[: parts - 1]) + 1
    return np.diff(cuts, prepend=0, append=total)
