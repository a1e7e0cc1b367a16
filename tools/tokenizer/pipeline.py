"""A tokenizer made of the steps that a tokenizer.json names: normalizer, pre-tokenizer, model, decoder."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import chain
from typing import Any

from scratchgrad.tools.tokenizer.added_tokens import AddedToken
from scratchgrad.tools.tokenizer.base import Span, Tokenizer
from scratchgrad.tools.tokenizer.byte_alphabet import written
from scratchgrad.tools.tokenizer.cache import PieceCache
from scratchgrad.tools.tokenizer.decoders import read_decoder
from scratchgrad.tools.tokenizer.merging import Merge
from scratchgrad.tools.tokenizer.normal_forms import Traced, unchanged
from scratchgrad.tools.tokenizer.normalizers import read_normalizer
from scratchgrad.tools.tokenizer.pre_tokenizers import read_pre_tokenizer
from scratchgrad.tools.tokenizer.subword_models import read_model
from scratchgrad.tools.tokenizer.templates import Template

Json = dict[str, Any]


class Pipeline(Tokenizer):
    """parts: a tokenizer.json's `normalizer`, `pre_tokenizer`, `decoder` and `model`, of which nothing is left out.
    spelled: each token as the vocabulary writes it, None for an id without one; added ones stand for their names.
    merges: of a model of type BPE.
    """

    def __init__(
        self,
        parts: Json,
        spelled: Sequence[str | None],
        added: Sequence[AddedToken],
        *,
        merges: Sequence[Merge] = (),
        template: Template | None = None,
    ) -> None:
        self._normalizer = read_normalizer(parts.get("normalizer"))
        self._pre_tokenizer = read_pre_tokenizer(parts.get("pre_tokenizer"))
        decoder = read_decoder(parts.get("decoder"), as_bytes=self._pre_tokenizer.as_bytes)
        beside = {token.id for token in added}
        tokens = [
            None if text is None else text.encode() if i in beside else decoder.token_bytes(text)
            for i, text in enumerate(spelled)
        ]
        super().__init__(tokens, added, template)
        self.parts, self.spelled, self.merges = parts, list(spelled), list(merges)
        self.drops_first_space = decoder.drops_first_space
        vocab = parts["model"]["vocab"]
        id_of = vocab if isinstance(vocab, dict) else {text: i for i, (text, _) in enumerate(vocab)}
        self._model = read_model(parts["model"], id_of, set(self.special_tokens.values()), self.merges)
        self._cache = PieceCache(self._ids_of_piece)

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuilt, (self.parts, self.spelled, self.added, self.merges, self.template)

    def settings(self) -> tuple[object, ...]:
        return (json.dumps(self.parts, sort_keys=True),)

    def normalize(self, text: str, at_start: bool = True) -> str:
        for step in self._normalizer:
            text = step.apply(text)
        return text

    def trace(self, text: str, at_start: bool = True) -> Traced:
        traced = unchanged(text)
        for step in self._normalizer:
            traced = step.trace(traced)
        return traced

    def encode_normalized(self, text: str, at_start: bool = True) -> list[int]:
        pieces = self._pre_tokenizer.pieces(text, at_start)
        return list(chain.from_iterable(self._cache[piece.text] for piece in pieces))

    def spans(self, text: str, ids: list[int], at_start: bool = True) -> list[Span]:
        spans: list[Span] = []
        for piece in self._pre_tokenizer.pieces(text, at_start):
            found = self._model(self._seen_by_model(piece.text))
            if not self._pre_tokenizer.as_bytes:
                spans += [piece.span(start, end) for _, start, end in found]
                continue
            place = [i for i, character in enumerate(piece.text) for _ in character.encode()]
            spans += [piece.span(place[start], place[end - 1] + 1) for _, start, end in found]
        return spans

    def _seen_by_model(self, piece: str) -> str:
        return written(piece.encode()) if self._pre_tokenizer.as_bytes else piece

    def _ids_of_piece(self, piece: str) -> list[int]:
        return [token for token, _, _ in self._model(self._seen_by_model(piece))]


def _rebuilt(
    parts: Json, spelled: list[str | None], added: list[AddedToken], merges: list[Merge], template: Template
) -> Pipeline:
    """A copy, for another process."""
    return Pipeline(parts, spelled, added, merges=merges, template=template)
