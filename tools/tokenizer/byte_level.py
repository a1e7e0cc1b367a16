"""Byte-level BPE (Radford et al. 2019, section 2.2): every text has ids, and its ids give it back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate, chain

import numpy as np

from scratchgrad.errors import UserError
from scratchgrad.tools.tokenizer.added_tokens import AddedToken
from scratchgrad.tools.tokenizer.base import Span, Tokenizer
from scratchgrad.tools.tokenizer.cache import PieceCache
from scratchgrad.tools.tokenizer.merging import Merge, Merger
from scratchgrad.tools.tokenizer.normal_forms import Form, Traced, normalized, traced_form, unchanged
from scratchgrad.tools.tokenizer.patterns import cutter, iterate
from scratchgrad.tools.tokenizer.templates import Template

# Those that occur in UTF-8: vocabularies that were learnt from text alone (GPT-NeoX's) lack the others.
BYTES_OF_TEXT = [byte for byte in range(256) if byte not in (0xC0, 0xC1) and byte < 0xF5]


class ByteLevelBPE(Tokenizer):
    """merges: (left, right, merged) ids in the order they were learnt. pattern: the name of a pre-tokenizing pattern,
    or a regular expression. form: the Unicode normal form that text is brought to first. whole_first: a piece that is
    a token becomes it whether merges lead there or not.
    """

    def __init__(
        self,
        tokens: Sequence[bytes | None],
        merges: Sequence[Merge],
        added: Sequence[AddedToken],
        pattern: str,
        *,
        form: Form | None = None,
        whole_first: bool = False,
        template: Template | None = None,
    ) -> None:
        super().__init__(tokens, added, template)
        self.merges, self.pattern, self.form, self.whole_first = list(merges), pattern, form, whole_first
        beside = {token.id for token in added}
        ids = {token: i for i, token in enumerate(tokens) if token is not None and i not in beside}
        missing = [byte for byte in BYTES_OF_TEXT if bytes([byte]) not in ids]
        if missing:
            raise UserError(
                f"the vocabulary has no token for {len(missing)} of the bytes of texts; the first is {missing[0]}"
            )
        self.byte_ids = [ids.get(bytes([byte]), -1) for byte in range(256)]  # -1 is never looked up
        self.merger = Merger(self.merges)
        self._whole = ids if whole_first else {}
        self._cache = PieceCache(self.encode_piece)

    def settings(self) -> tuple[object, ...]:
        return self.merges, self.pattern, self.form, self.whole_first

    def normalize(self, text: str, at_start: bool = True) -> str:
        return normalized(self.form, text) if self.form is not None else text

    def trace(self, text: str, at_start: bool = True) -> Traced:
        return traced_form(self.form, text) if self.form is not None else unchanged(text)

    def pieces(self, text: str) -> list[str]:
        """Normalized text as the pattern cuts it; joined they are the text."""
        return cutter(self.pattern)(text)

    def encode_normalized(self, text: str, at_start: bool = True) -> list[int]:
        return list(chain.from_iterable(map(self._cache.__getitem__, cutter(self.pattern)(text))))

    def iterate_normalized(self, text: str, at_start: bool = True) -> Iterator[int]:
        return chain.from_iterable(map(self._cache.__getitem__, iterate(self.pattern, text)))

    def spans(self, text: str, ids: list[int], at_start: bool = True) -> list[Span]:
        points = np.frombuffer(text.encode("utf-32-le"), np.uint32)
        widths = 1 + (points > 0x7F) + (points > 0x7FF) + (points > 0xFFFF)
        character = np.repeat(np.arange(len(text)), widths).tolist()  # of each byte
        ends = list(accumulate(len(self.tokens[token] or b"") for token in ids))
        return [(character[start], character[end - 1] + 1) for start, end in zip([0, *ends[:-1]], ends, strict=True)]

    def symbols(self, piece: str) -> list[int]:
        """The ids of its bytes, before anything is merged."""
        return [self.byte_ids[byte] for byte in piece.encode()]

    def encode_piece(self, piece: str) -> list[int]:
        """The ids of one piece that the pattern cut, worked out anew."""
        whole = self._whole.get(piece.encode()) if self._whole else None
        return [whole] if whole is not None else self.merger.merge(self.symbols(piece))
