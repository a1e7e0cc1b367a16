"""llama2.c's tokenizer.bin: the longest token's length, then each token's score, length and bytes.

The vocabulary is that of a SentencePiece BPE model with bytes, blanks written as blanks: id 0 is unknown, 1 begins a
text, 2 ends it, and the 256 bytes follow. Text gets a blank in front, as run.c does it.
"""

from __future__ import annotations

import struct
from pathlib import Path

from scratchgrad.errors import UserError
from scratchgrad.files import atomic_file
from scratchgrad.tools.tokenizer.added_tokens import AddedToken
from scratchgrad.tools.tokenizer.base import Tokenizer
from scratchgrad.tools.tokenizer.files import complaints_name, read_file
from scratchgrad.tools.tokenizer.merging import Merger
from scratchgrad.tools.tokenizer.metaspace import MetaspaceBPE
from scratchgrad.tools.tokenizer.sentencepiece_file import merges_by_score
from scratchgrad.tools.tokenizer.templates import around

UNKNOWN, BEGIN, END, FIRST_BYTE, FIRST_TEXT = 0, 1, 2, 3, 259
ENDS = {BEGIN: "<s>", END: "</s>"}


def load(path: Path) -> MetaspaceBPE:
    with complaints_name(path):
        spelled, scores = _read(read_file(path))
        for byte in range(256):
            if spelled[FIRST_BYTE + byte] != f"<0x{byte:02X}>":
                raise UserError(f"token {FIRST_BYTE + byte} is {spelled[FIRST_BYTE + byte]!r}, not '<0x{byte:02X}>'")
        id_of: dict[str, int] = {}
        for i, text in enumerate(spelled[FIRST_TEXT:], start=FIRST_TEXT):
            if text in id_of:
                raise UserError(f"tokens {id_of[text]} and {i} are both {text!r}")
            id_of[text] = i
        merges, ranks = merges_by_score(id_of, scores)
        _check_that_no_text_merges(spelled[:FIRST_TEXT], id_of, Merger(merges, ranks))
        added = [AddedToken(text, i) for i, text in ENDS.items()]
        return MetaspaceBPE(
            spelled, merges, added, ranks=ranks, byte_ids=range(FIRST_BYTE, FIRST_TEXT), unknown=UNKNOWN, blank=" ",
            scores=scores, template=around([BEGIN], []),
        )  # fmt: skip


def save(tokenizer: Tokenizer, path: Path) -> None:
    """Write a tokenizer.bin; UserError for a vocabulary that run.c would not encode alike."""
    if not isinstance(tokenizer, MetaspaceBPE) or tokenizer.scores is None:
        raise UserError("a tokenizer.bin holds scores, as a SentencePiece BPE model has them; this tokenizer has none")
    special = {i: text for text, i in tokenizer.special_tokens.items()}
    if (
        list(tokenizer.byte_ids or ()) != list(range(FIRST_BYTE, FIRST_TEXT))
        or special != ENDS
        or tokenizer.prefix != "always"
    ):
        raise UserError(
            "a tokenizer.bin needs <unk>, <s>, </s> and the 256 bytes as its first tokens, and a blank before each text"
        )
    tokens = [(text or "").replace(tokenizer.blank, " ").encode() for text in tokenizer.spelled]
    for i, text in ENDS.items():
        tokens[i] = f"\n{text}\n".encode()  # so that no text is likely to spell it
    with atomic_file(path) as file:
        file.write(struct.pack("<I", max(map(len, tokens))))
        for token, score in zip(tokens, tokenizer.scores, strict=True):
            file.write(struct.pack("<fI", score, len(token)) + token)


def _check_that_no_text_merges(spelled: list[str], id_of: dict[str, int], merger: Merger) -> None:
    """run.c takes special tokens and <0x0A> for text, too, if merges lead there: then it is not what we would do."""
    for text in spelled:
        symbols = [id_of[character] for character in text if character in id_of]
        if len(symbols) == len(text) and len(merger.merge(symbols)) <= 2:
            raise UserError(f"run.c would merge text into the token {text!r}, which is not supported")


def _read(raw: bytes) -> tuple[list[str], list[float]]:
    """Tokens and scores. The file does not say how many: it must end where a token does."""
    if len(raw) < 4:
        raise UserError(f"it ends too soon: after {len(raw)} bytes")
    (longest,) = struct.unpack_from("<I", raw)
    spelled: list[str] = []
    scores: list[float] = []
    place = 4
    while place < len(raw):
        if place + 8 > len(raw):
            raise UserError(f"it ends too soon: in the middle of token {len(spelled)}")
        score, size = struct.unpack_from("<fI", raw, place)
        place += 8
        if size > longest:
            raise UserError(f"token {len(spelled)} has {size} bytes, and the longest was to have {longest}")
        if place + size > len(raw):
            raise UserError(f"it ends too soon: in the middle of token {len(spelled)}")
        try:
            spelled.append(raw[place : place + size].decode())
        except UnicodeDecodeError:
            raise UserError(f"token {len(spelled)} is not UTF-8") from None
        scores.append(score)
        place += size
    if len(spelled) < FIRST_TEXT:
        raise UserError(f"it has {len(spelled)} tokens; three special ones and 256 bytes alone are {FIRST_TEXT}")
    return spelled, scores
