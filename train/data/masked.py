"""Masked tokens, told from both sides, and whether one text follows another (Devlin et al. 2019, section 3.1)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Self

import numpy as np

from scratchgrad.errors import UserError
from scratchgrad.random import Purpose, generator
from scratchgrad.tools.tokenizer import Tokenizer
from scratchgrad.train.data.objective import IGNORE_INDEX, Batch, Ids

SHARE = 0.15  # of ordinary tokens that are asked for
SHORTEST = 8  # context: two texts of a token or more, with what stands between and around them
HIDDEN, EXCHANGED = 0.8, 0.1  # of those; the rest is left as it is


class MaskedTokens:
    """[CLS] text [SEP]. Some tokens are hidden, exchanged, or left; they are to be told from those on both sides.

    seed: of all that is drawn for a row, beside its number.
    """

    special_tokens: ClassVar[tuple[str, ...]] = ("[PAD]", "[CLS]", "[SEP]", "[MASK]")
    tells_all = False

    def __init__(self, context: int, tokenizer: Tokenizer, seed: int) -> None:
        if context < SHORTEST:
            raise UserError(f"train.context = {context} is too short to hide tokens in; it needs {SHORTEST} or more")
        self.window = self.stride = context - 2
        self._seed = seed
        self._cls, self._sep, self._mask = (tokenizer.special_tokens[name] for name in self.special_tokens[1:])
        self._is_ordinary = np.ones(tokenizer.vocab_size, bool)
        self._is_ordinary[list(tokenizer.special_tokens.values())] = False
        self._ordinary = np.flatnonzero(self._is_ordinary)

    @classmethod
    def of(cls, context: int, tokens: Ids, tokenizer: Tokenizer, seed: int) -> Self:
        return cls(context, tokenizer, seed)

    def rows(self, windows: Ids, numbers: Sequence[int]) -> Batch:
        """ids, targets (rows, context)."""
        made = [
            self._row(window, generator(self._seed, Purpose.MASK, step=number))
            for window, number in zip(windows, numbers, strict=True)
        ]
        return {name: np.stack([row[name] for row in made]) for name in made[0]}

    def _row(self, window: Ids, rng: np.random.Generator) -> Batch:
        return self._masked(np.concatenate([[self._cls], window, [self._sep]]), rng)

    def _masked(self, ids: Ids, rng: np.random.Generator) -> Batch:
        """ids (context,) with 15 % of its ordinary tokens as targets: of these 80 % become [MASK], 10 % any token."""
        candidates = np.flatnonzero(self._is_ordinary[ids])
        chosen = rng.permutation(candidates)[: max(1, round(SHARE * len(candidates)))]
        targets = np.full_like(ids, IGNORE_INDEX)
        targets[chosen] = ids[chosen]
        fate = rng.random(len(chosen))
        hidden, exchanged = fate < HIDDEN, (fate >= HIDDEN) & (fate < HIDDEN + EXCHANGED)
        ids = ids.copy()
        ids[chosen[hidden]] = self._mask
        ids[chosen[exchanged]] = rng.choice(self._ordinary, exchanged.sum())
        return {"ids": ids, "targets": targets}


class MaskedNextSentence(MaskedTokens):
    """[CLS] A [SEP] B [SEP], with masked tokens. B follows A in the text half of the time, else it stands elsewhere.

    tokens: the text that such a B is taken from.
    """

    def __init__(self, context: int, tokenizer: Tokenizer, seed: int, tokens: Ids) -> None:
        super().__init__(context, tokenizer, seed)
        self.window = self.stride = context - 3
        self._tokens = tokens

    @classmethod
    def of(cls, context: int, tokens: Ids, tokenizer: Tokenizer, seed: int) -> Self:
        return cls(context, tokenizer, seed, tokens)

    def rows(self, windows: Ids, numbers: Sequence[int]) -> Batch:
        """ids, targets, token_types (rows, context), 0 for A and 1 for B; next_sentence_targets (rows,), as Hugging
        Face has them: 0 if B follows, 1 if not.
        """
        return super().rows(windows, numbers)

    def _row(self, window: Ids, rng: np.random.Generator) -> Batch:
        cut = int(rng.integers(len(window) // 4, len(window) - len(window) // 4))  # both have something to go by
        first, follows = window[:cut], window[cut:]
        second = follows
        if rng.random() < 0.5:
            start = rng.integers(0, len(self._tokens) - len(follows) + 1)
            second = self._tokens[start : start + len(follows)].astype(window.dtype)
        ids = np.concatenate([[self._cls], first, [self._sep], second, [self._sep]])
        return {
            **self._masked(ids, rng),
            "token_types": np.repeat([0, 1], [cut + 2, len(second) + 1]),
            "next_sentence_targets": np.array(int(not np.array_equal(second, follows))),  # chance may find what follows
        }
