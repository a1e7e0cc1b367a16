"""Span corruption (Raffel et al. 2020, section 3.1.4): spans of text are taken out, and the model puts them back.

    Thank you <extra_id_0> me to your party <extra_id_1> week. </s>
    <extra_id_0> for inviting <extra_id_1> last </s>

Each span leaves a sentinel of its own; the target is the spans, each behind its sentinel. The end of a text stands for
</s>.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from scratchgrad.errors import UserError
from scratchgrad.models import T5
from scratchgrad.random import Purpose, generator
from scratchgrad.tools.data import TokenizedExample, TokenStore
from scratchgrad.tools.text import Example
from scratchgrad.train.batches import Array, Batch, BatchField, Window, WindowBatches, stack_rows
from scratchgrad.train.objectives.objective import DECODER_TARGETS, INPUT_IDS
from scratchgrad.train.objectives.seq2seq import Seq2SeqLoss

SHARE = 0.15  # of the tokens that is taken out
MEAN_SPAN = 3  # tokens
SENTINELS = 100
SHORTEST_CONTEXT = 4  # a token that stays, a sentinel, and the end


class SpanCorruption(Seq2SeqLoss):
    """All rows are of one shape: a window is as long as the context has room for once its spans are sentinels."""

    # In T5's vocabulary the first sentinel has the largest id.
    special_tokens = ("<pad>", *(f"<extra_id_{i}>" for i in reversed(range(SENTINELS))))
    batch_fields: Mapping[str, BatchField] = {"input_ids": INPUT_IDS, "targets": DECODER_TARGETS}
    trains = default_for = (T5,)

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        context = self.context
        if context < SHORTEST_CONTEXT:
            raise UserError(
                f"train.context = {context} is too short to take spans out; it needs {SHORTEST_CONTEXT} or more"
            )
        self.window = context - 2
        while _source_length(self.window + 1) <= context:
            self.window += 1
        self._removed, self._spans = _counts(self.window)
        if self._spans > SENTINELS:
            raise UserError(
                f"train.context = {context} needs {self._spans} sentinels, and there are {SENTINELS}; shorten it"
            )
        self._sentinels = [self.layout.special(f"<extra_id_{i}>") for i in range(self._spans)]

    def encode(self, example: Example) -> TokenizedExample:
        return self.layout.document(example.text())

    def batches(self, stores: Sequence[TokenStore], weights: Sequence[float]) -> WindowBatches:
        return WindowBatches(stores, weights, self.batch, window=self.window, stride=self.window, seed=self.seed)

    def batch(self, windows: Sequence[Window]) -> Batch:
        """input_ids (batch, context); targets (batch, tokens taken out + spans + 1)."""
        return stack_rows([
            self._row(window.ids, generator(self.seed, Purpose.SPANS, step=window.number)) for window in windows
        ])  # fmt: skip

    def _row(self, window: Array, rng: np.random.Generator) -> Batch:
        kept = _random_lengths(len(window) - self._removed, self._spans, rng)
        removed = _random_lengths(self._removed, self._spans, rng)
        pieces = np.split(window, np.cumsum(np.stack([kept, removed], axis=1))[:-1])  # kept, removed, kept, ...
        source, target = [], []
        for sentinel, stays, goes in zip(self._sentinels, pieces[::2], pieces[1::2], strict=True):
            source += [stays, [sentinel]]
            target += [[sentinel], goes]
        end = [self.layout.end]
        return {"input_ids": np.concatenate([*source, end]), "targets": np.concatenate([*target, end])}


def _counts(window: int) -> tuple[int, int]:
    """How many tokens of a window are taken out, in how many spans."""
    removed = max(1, round(SHARE * window))
    return removed, max(1, round(removed / MEAN_SPAN))


def _source_length(window: int) -> int:
    removed, spans = _counts(window)
    return window - removed + spans + 1


def _random_lengths(total: int, parts: int, rng: np.random.Generator) -> Array:
    """`parts` positive lengths that add up to `total`, each way to cut it as likely as any other."""
    cuts = np.sort(rng.permutation(total - 1)[: parts - 1]) + 1
    return np.diff(cuts, prepend=0, append=total)
