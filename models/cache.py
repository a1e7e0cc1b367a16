"""Keys and values of the tokens that were read already, so that a new token costs one position and not all.

A batch of texts is a batch of rows, each as long as it is: rows join, leave and change places at any step, and no row's
keys or values depend on another's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from scratchgrad import Tensor
from scratchgrad import functional as F
from scratchgrad.backend import Array, array_module

BLOCK = 64  # tokens of a prompt that are read at once, and in which a prefix is reused

Integers = np.ndarray[Any, np.dtype[np.int64]]


class KeyValues:
    """The keys and values of one attention layer: row i has its first lengths[i] tokens.

    They stand in two arrays (rows, heads, tokens, head_dim) that have more room than is in use and grow by doubling.
    """

    def __init__(self, lengths: Integers) -> None:
        self.lengths = lengths
        self._key: Array = None
        self._value: Array = None

    @property
    def is_empty(self) -> bool:
        return self._key is None

    @property
    def nbytes(self) -> int:
        return 0 if self.is_empty else int(self._key.nbytes + self._value.nbytes)

    def append(self, key: Tensor, value: Tensor) -> None:
        """Put key and value (rows, heads, time, head_dim) behind what each row has. `lengths` stays as it is."""
        rows, _, time, _ = key.shape
        if rows != len(self.lengths):
            raise ValueError(f"the cache has {len(self.lengths)} rows, and keys of {rows} were put into it")
        starts = self.lengths
        first, last = (int(starts.min()), int(starts.max())) if rows else (0, 0)
        self._reserve(key.data, rows, last + time)
        if first == last:
            place: Any = np.s_[:rows, :, first : first + time]
            self._key[place], self._value[place] = key.data, value.data
        else:
            place = np.arange(rows)[:, None], slice(None), starts[:, None] + np.arange(time)
            self._key[place], self._value[place] = key.data.swapaxes(1, 2), value.data.swapaxes(1, 2)

    def fill(self, key: Tensor, value: Tensor) -> None:
        """Put key and value (rows, heads, tokens, head_dim) at each row's beginning; `lengths` says how many count."""
        rows, _, tokens, _ = key.shape
        self._reserve(key.data, rows, tokens)
        self._key[:rows, :, :tokens], self._value[:rows, :, :tokens] = key.data, value.data

    def attend(
        self,
        query: Tensor,
        mask: Tensor | None = None,
        *,
        just_appended: int = 0,
        is_causal: bool = False,
        scale: float | None = None,
    ) -> Tensor:
        """Attention of query (rows, heads, time, head_dim) to each row's keys, with `just_appended` beyond its length.

        mask and options: as of F.ragged_attention.
        """
        rows = len(self.lengths)
        return F.ragged_attention(
            query, self._key[:rows], self._value[:rows], mask,
            lengths=self.lengths + just_appended, is_causal=is_causal, scale=scale,
        )  # fmt: skip

    def select(self, rows: Integers, lengths: Integers) -> None:
        """Row i becomes what rows[i] is, which has lengths[i] tokens. Only what changes its place is copied."""
        if not len(rows):
            self._key = self._value = None
        elif not self.is_empty:
            self._reserve(self._key, len(rows), 0)
            moved = np.flatnonzero(rows != np.arange(len(rows)))
            used = int(lengths[moved].max(initial=0))
            if used:
                for array in (self._key, self._value):
                    array[moved, :, :used] = array[rows[moved], :, :used]  # the right side is made first
        self.lengths = lengths

    def extend(self, other: KeyValues) -> None:
        """The rows of `other` come behind the own ones."""
        first, count, used = len(self.lengths), len(other.lengths), int(other.lengths.max(initial=0))
        if not other.is_empty:
            self._reserve(other._key, first + count, used)
            for array, theirs in ((self._key, other._key), (self._value, other._value)):
                array[first : first + count, :, :used] = theirs[:count, :, :used]
        self.lengths = np.concatenate([self.lengths, other.lengths])

    def extract(self, row: int, length: int) -> KeyValues:
        """The first `length` tokens of one row, copied."""
        part = KeyValues(np.array([length]))
        if length:
            part._key, part._value = (a[row : row + 1, :, :length].copy() for a in (self._key, self._value))
        return part

    def _reserve(self, like: Array, rows: int, tokens: int) -> None:
        """Room for so many rows of so many tokens."""
        before = (0, 0) if self.is_empty else (self._key.shape[0], self._key.shape[2])
        if rows <= before[0] and tokens <= before[1]:
            return
        wanted = [old if new <= old else max(new, 2 * old) for old, new in zip(before, (rows, tokens), strict=True)]
        shape = (wanted[0], like.shape[1], -(-wanted[1] // BLOCK) * BLOCK, like.shape[3])
        xp = array_module(like)
        key, value = (xp.empty(shape, like.dtype) for _ in range(2))
        if not self.is_empty:
            key[: before[0], :, : before[1]], value[: before[0], :, : before[1]] = self._key, self._value
        self._key, self._value = key, value


class LayerCache:
    """What one layer keeps: its own keys and values, and those that cross-attention made of the encoder's states."""

    def __init__(self, lengths: Integers, encoder_lengths: Integers) -> None:
        self.self_attention = KeyValues(lengths)
        self.cross_attention = KeyValues(encoder_lengths)


class KeyValueCache:
    """A LayerCache for each layer of a decoder. Use it inside `no_grad`: it keeps values, not their history.

    lengths (rows,): the tokens of each row. encoder_lengths (rows,): those of the source that it looks at; 0 where
    there is none. prefilled (rows,): how many tokens were read in blocks, as `prefill` reads prompts: a block's keys
    depend on its place and on what stands before, and on nothing else, so that it can be reused.
    """

    def __init__(self, num_layers: int, rows: int = 1) -> None:
        self.lengths: Integers = np.zeros(rows, np.int64)
        self.encoder_lengths: Integers = np.zeros(rows, np.int64)
        self.prefilled: Integers = np.zeros(rows, np.int64)
        self.layers = [LayerCache(self.lengths, self.encoder_lengths) for _ in range(num_layers)]

    def __len__(self) -> int:
        """Rows."""
        return len(self.lengths)

    @property
    def nbytes(self) -> int:
        """Memory that is held, whether it is in use or not."""
        return sum(layer.self_attention.nbytes + layer.cross_attention.nbytes for layer in self.layers)

    def positions(self, count: int) -> Integers:
        """Where the next `count` tokens of each row stand: (rows, count)."""
        return self.lengths[:, None] + np.arange(count)

    def advance(self, count: int) -> None:
        """Every layer has appended `count` tokens to each row: they belong to the texts from now on."""
        self._set_lengths(self.lengths + count)

    def truncate(self, lengths: Sequence[int] | Integers) -> None:
        """Each row forgets what stands behind its first lengths[i] tokens."""
        kept = np.minimum(np.asarray(lengths, np.int64), self.lengths)
        self._set_lengths(kept)
        self.prefilled = np.minimum(self.prefilled, kept)

    def select(self, rows: Sequence[int] | Integers) -> None:
        """Row i becomes what rows[i] is; there are then len(rows) rows. Rows may be left out, moved and doubled."""
        chosen = np.asarray(rows, np.int64)
        if chosen.size and not 0 <= chosen.min() <= chosen.max() < len(self):
            raise ValueError(f"select({chosen.tolist()}) asks for rows that a cache of {len(self)} has not")
        lengths, encoder_lengths = self.lengths[chosen], self.encoder_lengths[chosen]
        for layer in self.layers:
            layer.self_attention.select(chosen, lengths)
            layer.cross_attention.select(chosen, encoder_lengths)
        self.lengths, self.encoder_lengths, self.prefilled = lengths, encoder_lengths, self.prefilled[chosen]

    def extend(self, other: KeyValueCache) -> None:
        """The rows of `other` join, behind the own ones. `other` stays as it is."""
        for layer, theirs in zip(self.layers, other.layers, strict=True):
            layer.self_attention.extend(theirs.self_attention)
            layer.cross_attention.extend(theirs.cross_attention)
        self.prefilled = np.concatenate([self.prefilled, other.prefilled])
        self.encoder_lengths = np.concatenate([self.encoder_lengths, other.encoder_lengths])
        self._set_lengths(np.concatenate([self.lengths, other.lengths]))

    def extract(self, row: int, length: int) -> KeyValueCache:
        """The beginning of one row as a cache of its own: at most `length` tokens, which another text may go on from.

        Only whole blocks that were prefilled are given. What was decoded since has other last bits than the same tokens
        in a prompt have, and is read again.
        """
        usable = min(length, int(self.prefilled[row])) // BLOCK * BLOCK
        part = KeyValueCache(len(self.layers))
        part.prefilled, part.encoder_lengths = np.array([usable]), self.encoder_lengths[row : row + 1].copy()
        for copy, layer in zip(part.layers, self.layers, strict=True):
            copy.self_attention = layer.self_attention.extract(row, usable)
            copy.cross_attention = layer.cross_attention.extract(row, int(part.encoder_lengths[0]))
        part._set_lengths(np.array([usable]))
        return part

    def set_encoder_lengths(self, lengths: Sequence[int] | Integers) -> None:
        """How many states of its source each row looks at, before cross-attention makes keys of them."""
        self.encoder_lengths = np.array(lengths, np.int64)
        self._set_lengths(self.lengths)

    def _set_lengths(self, lengths: Integers) -> None:
        self.lengths = lengths
        for layer in self.layers:
            layer.self_attention.lengths = lengths
            layer.cross_attention.lengths = self.encoder_lengths
