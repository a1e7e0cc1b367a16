"""BPE on characters with visible blanks (SentencePiece's, as in Llama 2), and bytes for characters without a token.

Kudo & Richardson 2018. A blank is written as the character U+2581, which merges like any other; there is no pattern
that cuts the text into pieces first.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Literal

from scratchgrad.errors import UserError
from scratchgrad.tools.tokenizer.added_tokens import AddedToken
from scratchgrad.tools.tokenizer.base import Span, Tokenizer
from scratchgrad.tools.tokenizer.cache import PieceCache
from scratchgrad.tools.tokenizer.charsmap import BLANK, Charsmap
from scratchgrad.tools.tokenizer.merging import Merge, Merger
from scratchgrad.tools.tokenizer.normal_forms import Traced, unchanged
from scratchgrad.tools.tokenizer.templates import Template

# Where a text gets a blank in front: never; always; if it has none; the same, but only at the start of the whole text.
Prefix = Literal["never", "always", "if missing", "first if missing"]


class MetaspaceBPE(Tokenizer):
    """spelled: each token as the vocabulary writes it, None for an id without one. byte_ids: of the tokens <0x00> to
    <0xFF>, which stand for characters without a token; without them, such characters become `unknown`, one for a run.
    blank: how the vocabulary writes a blank (llama2.c's keeps " "). ranks: of the merges, where two may be equal.
    scores: SentencePiece's, where the file had them. charsmap: its normalizer, which then puts blanks in front, too.
    """

    def __init__(
        self,
        spelled: Sequence[str | None],
        merges: Sequence[Merge],
        added: Sequence[AddedToken],
        *,
        byte_ids: Sequence[int] | None,
        unknown: int | None = None,
        unknown_text: str = " \u2047 ",
        prefix: Prefix = "always",
        drops_first_space: bool = True,
        blank: str = BLANK,
        ranks: Sequence[int] | None = None,
        scores: Sequence[float] | None = None,
        charsmap: Charsmap | None = None,
        template: Template | None = None,
    ) -> None:
        if byte_ids is None and unknown is None:
            raise UserError("the vocabulary has neither a token for each byte nor one for unknown characters")
        tokens = [None if text is None else text.replace(blank, " ").encode() for text in spelled]
        for byte, token in enumerate(byte_ids or ()):
            tokens[token] = bytes([byte])
        if unknown is not None and byte_ids is None:
            tokens[unknown] = unknown_text.encode()
        for beside_it in added:
            tokens[beside_it.id] = beside_it.text.encode()
        super().__init__(tokens, added, template)
        self.spelled, self.merges, self.scores = list(spelled), list(merges), scores
        self.byte_ids, self.unknown, self.prefix, self.blank = byte_ids, unknown, prefix, blank
        self.ranks, self.drops_first_space, self.charsmap = ranks, drops_first_space, charsmap
        beside = {token.id for token in added} | set(byte_ids or ()) | {unknown}
        self.id_of = {text: i for i, text in enumerate(spelled) if text is not None and i not in beside}
        self.merger = Merger(self.merges, ranks)
        self._cache = PieceCache(self._ids_of_piece)
        # Where no token has a blank behind something else, nothing merges across such a place, and texts may be cut.
        crosses = re.compile(f"[^{blank}]{blank}")
        is_cut = not any(crosses.search(spelled[merged] or "") for _, _, merged in merges)
        self._cut = re.compile(f"{blank}*[^{blank}]+|{blank}+" if is_cut else "(?s:.)+")

    def settings(self) -> tuple[object, ...]:
        common = (self.merges, self.ranks, self.byte_ids, self.unknown, self.prefix, self.blank)
        return common if self.charsmap is None else (*common, self.charsmap.settings())

    def normalize(self, text: str, at_start: bool = True) -> str:
        if self.charsmap is not None:
            return self.charsmap.normalize(text)
        text = text.replace(" ", self.blank)
        return self.blank + text if self._gets_prefix(text, at_start) else text

    def trace(self, text: str, at_start: bool = True) -> Traced:
        if self.charsmap is not None:
            return self.charsmap.trace(text)
        plain = unchanged(text.replace(" ", self.blank))
        if not self._gets_prefix(plain.text, at_start):
            return plain
        # The new blank belongs to what it stands before.
        return Traced(self.blank + plain.text, [0, *plain.starts], [1, *plain.ends])

    def pieces(self, text: str) -> list[str]:
        """Normalized text cut where nothing can merge."""
        return self._cut.findall(text)

    def encode_normalized(self, text: str, at_start: bool = True) -> list[int]:
        ids = chain.from_iterable(map(self._cache.__getitem__, self._cut.findall(text)))
        return list(ids) if self.byte_ids is not None else _without_repeats(ids, self.unknown)

    def iterate_normalized(self, text: str, at_start: bool = True) -> Iterator[int]:
        ids = chain.from_iterable(self._cache[match.group()] for match in self._cut.finditer(text))
        return ids if self.byte_ids is not None else iter(_without_repeats(ids, self.unknown))

    def symbols(self, piece: str) -> list[int]:
        """The ids of its characters, before anything is merged."""
        known, ids = self.id_of.get, []
        for character in piece:
            token = known(character)
            ids += [token] if token is not None else self._fallback(character)
        return ids

    def spans(self, text: str, ids: list[int], at_start: bool = True) -> list[Span]:
        spans, place = [], 0
        owed = 0  # bytes of the character at `place` whose tokens are still to come
        of_bytes = set(self.byte_ids or ())
        for token in ids:
            if token in of_bytes:
                owed = owed or len(text[place].encode())
                spans.append((place, place + 1))
                owed -= 1
                place += owed == 0
                continue
            end = place + len(self.spelled[token] or "")
            if token == self.unknown:
                end = next((i for i in range(place, len(text)) if text[i] in self.id_of), len(text))
            spans.append((place, end))
            place = end
        return spans

    def _gets_prefix(self, text: str, at_start: bool) -> bool:
        if not text or self.prefix == "never" or (self.prefix == "first if missing" and not at_start):
            return False
        return self.prefix == "always" or not text.startswith(self.blank)

    def _fallback(self, character: str) -> list[int]:
        if self.byte_ids is not None:
            return [self.byte_ids[byte] for byte in character.encode()]
        assert self.unknown is not None
        return [self.unknown]

    def _ids_of_piece(self, piece: str) -> list[int]:
        return self.merger.merge(self.symbols(piece))


def _without_repeats(ids: chain[int], token: int | None) -> list[int]:
    """A run of `token` is one of it."""
    kept: list[int] = []
    for found in ids:
        if found != token or not kept or kept[-1] != token:
            kept.append(found)
    return kept
