"""SentencePiece's .model files (sentencepiece_model.proto) of the types BPE and Unigram. What is unknown is refused."""

from __future__ import annotations

import math
from pathlib import Path
from typing import NamedTuple

from scratchgrad.errors import UserError, quoted
from scratchgrad.tools.tokenizer import protobuf
from scratchgrad.tools.tokenizer.added_tokens import AddedToken
from scratchgrad.tools.tokenizer.base import Tokenizer
from scratchgrad.tools.tokenizer.charsmap import Charsmap
from scratchgrad.tools.tokenizer.files import complaints_name, read_file
from scratchgrad.tools.tokenizer.merging import Merge, recover_merges
from scratchgrad.tools.tokenizer.metaspace import MetaspaceBPE
from scratchgrad.tools.tokenizer.templates import around
from scratchgrad.tools.tokenizer.unigram import Unigram

# ModelProto
PIECES, TRAINER, NORMALIZER, DENORMALIZER = 1, 2, 3, 5
# SentencePiece
PIECE, SCORE, TYPE = 1, 2, 3
NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = 1, 2, 3, 4, 5, 6
# TrainerSpec
MODEL_TYPE, BLANK_AS_SUFFIX, BYTE_FALLBACK, UNKNOWN_TEXT = 3, 24, 35, 44
UNIGRAM, BPE = 1, 2
# NormalizerSpec
CHARSMAP, ADDS_PREFIX, SQUEEZES_BLANKS, SHOWS_BLANKS = 2, 3, 4, 5


class _Piece(NamedTuple):
    text: str
    score: float
    type: int


def load(path: Path) -> Tokenizer:
    with complaints_name(path):
        return _tokenizer(protobuf.fields(read_file(path)))


def _tokenizer(model: protobuf.Fields) -> Tokenizer:
    pieces = [_piece(i, raw) for i, raw in enumerate(model.get(PIECES, []))]
    seen: dict[str, int] = {}
    for i, piece in enumerate(pieces):
        if seen.setdefault(piece.text, i) != i:
            raise UserError(f"it has the token {quoted(piece.text)} twice, with the ids {seen[piece.text]} and {i}")
    trainer, normalizer = (protobuf.fields(protobuf.binary(model, field)) for field in (TRAINER, NORMALIZER))
    kind = protobuf.number(trainer, MODEL_TYPE, UNIGRAM)
    if not pieces or kind not in (UNIGRAM, BPE):
        raise UserError("it is not a SentencePiece model of the type BPE or Unigram")
    if protobuf.number(trainer, BLANK_AS_SUFFIX, 0):
        raise UserError("treat_whitespace_as_suffix is not supported")
    if not protobuf.number(normalizer, SHOWS_BLANKS, 1):
        raise UserError("a normalizer without escape_whitespaces is not supported")
    if protobuf.binary(protobuf.fields(protobuf.binary(model, DENORMALIZER)), CHARSMAP):
        raise UserError("a denormalizer is not supported")
    unknown = [i for i, piece in enumerate(pieces) if piece.type == UNKNOWN]
    if len(unknown) != 1:
        raise UserError(f"it has {len(unknown)} unknown tokens where one is due")
    added = [AddedToken(piece.text, i) for i, piece in enumerate(pieces) if piece.type == CONTROL]
    byte_ids = _byte_ids(pieces) if protobuf.number(trainer, BYTE_FALLBACK, 0) else None
    unknown_text = protobuf.text(trainer, UNKNOWN_TEXT, " \u2047 ")
    adds_prefix = bool(protobuf.number(normalizer, ADDS_PREFIX, 1))
    squeezes = bool(protobuf.number(normalizer, SQUEEZES_BLANKS, 1))
    blob = protobuf.binary(normalizer, CHARSMAP)
    ends = [token.id for token in added if token.text == "</s>"]
    charsmap = Charsmap(blob, adds_prefix=adds_prefix, squeezes_blanks=squeezes)
    if kind == UNIGRAM:
        return Unigram(
            [piece.text for piece in pieces], [piece.score for piece in pieces], added,
            charsmap, unknown=unknown[0],
            unknown_text=unknown_text, byte_ids=byte_ids, drops_first_space=adds_prefix, template=around([], ends),
        )  # fmt: skip
    begins = [token.id for token in added if token.text == "<s>"]
    merges, ranks = _merges(pieces)
    return MetaspaceBPE(
        [piece.text for piece in pieces], merges, added, ranks=ranks, byte_ids=byte_ids, unknown=unknown[0],
        unknown_text=unknown_text, prefix="always" if adds_prefix else "never", drops_first_space=adds_prefix,
        scores=[piece.score for piece in pieces], charsmap=charsmap if blob or squeezes else None,
        template=around(begins, []),
    )  # fmt: skip


def _piece(i: int, raw: int | bytes) -> _Piece:
    if not isinstance(raw, bytes):
        raise UserError(f"token {i} is not a message")
    message = protobuf.fields(raw)
    piece = _Piece(protobuf.text(message, PIECE), protobuf.real(message, SCORE), protobuf.number(message, TYPE, NORMAL))
    if not piece.text or math.isnan(piece.score):
        raise UserError(f"token {i} has no text or no score")
    if piece.type in (USER_DEFINED, UNUSED) or piece.type not in range(NORMAL, BYTE + 1):
        name = {USER_DEFINED: "user-defined", UNUSED: "unused"}.get(piece.type, "unknown")
        raise UserError(f"token {i} ({quoted(piece.text)}) is of the type {name}, which is not supported")
    return piece


def _byte_ids(pieces: list[_Piece]) -> list[int]:
    id_of = {piece.text: i for i, piece in enumerate(pieces) if piece.type == BYTE}
    missing = [byte for byte in range(256) if f"<0x{byte:02X}>" not in id_of]
    if missing:
        raise UserError(f"byte_fallback needs the token '<0x{missing[0]:02X}>', which is missing")
    return [id_of[f"<0x{byte:02X}>"] for byte in range(256)]


def _merges(pieces: list[_Piece]) -> tuple[list[Merge], list[int] | None]:
    """The merges, best score first; their ranks, where two scores are equal."""
    normal = {piece.text: i for i, piece in enumerate(pieces) if piece.type == NORMAL}
    return merges_by_score(normal, [piece.score for piece in pieces])


def merges_by_score(id_of: dict[str, int], scores: list[float]) -> tuple[list[Merge], list[int] | None]:
    """Of a vocabulary that merges the neighbours whose token has the best score; ranks as above."""
    place = {score: rank for rank, score in enumerate(sorted({scores[i] for i in id_of.values()}, reverse=True))}
    long = {text: i for text, i in id_of.items() if len(text) > 1}
    lacking = next(((text, c) for text in long for c in text if c not in id_of), None)
    if lacking is not None:
        raise UserError(f"the token {quoted(lacking[0])} has the character {lacking[1]!r}, which is no token")
    merges, ranks, _ = recover_merges(([id_of[c] for c in text], i, place[scores[i]]) for text, i in long.items())
    return merges, ranks if len(set(ranks)) < len(ranks) else None
