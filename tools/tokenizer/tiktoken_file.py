"""A .tiktoken file: on each line a token in base64 and its rank, which is its id. Any neighbours that spell one merge.

It holds neither a pattern nor special tokens; those of OpenAI's own files are known by their names.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from scratchgrad.errors import UserError
from scratchgrad.files import atomic_file
from scratchgrad.tools.tokenizer.byte_level import ByteLevelBPE
from scratchgrad.tools.tokenizer.files import complaints_name, read_file
from scratchgrad.tools.tokenizer.merging import Merge, recover_merges
from scratchgrad.tools.tokenizer.vocabulary import added_from


class Known(NamedTuple):
    pattern: str
    special_tokens: dict[str, int]


KNOWN = {
    "r50k_base": Known("gpt2", {"<|endoftext|>": 50256}),
    "p50k_base": Known("gpt2", {"<|endoftext|>": 50256}),
    "cl100k_base": Known(
        "gpt4",
        {
            "<|endoftext|>": 100257, "<|fim_prefix|>": 100258, "<|fim_middle|>": 100259, "<|fim_suffix|>": 100260,
            "<|endofprompt|>": 100276,
        },
    ),
    "o200k_base": Known("gpt4o", {"<|endoftext|>": 199999, "<|endofprompt|>": 200018}),
}  # fmt: skip


def load(path: Path, *, pattern: str | None = None, special_tokens: Mapping[str, int] | None = None) -> ByteLevelBPE:
    """The tokenizer of a file with one of OpenAI's names, or with the pattern and special tokens that are given."""
    known, raw = KNOWN.get(path.stem), read_file(path)
    with complaints_name(path):
        if pattern is None:
            if known is None:
                raise UserError("a .tiktoken file does not say its pattern: name it (gpt2, gpt4, gpt4o, or a regex)")
            pattern = known.pattern
        if special_tokens is None:
            special_tokens = known.special_tokens if known is not None else {}
        ranks = _ranks(raw)
        tokens = _by_id(ranks, special_tokens)
        byte_ids = [ranks.get(bytes([byte])) for byte in range(256)]
        if None in byte_ids:
            raise UserError(f"the byte {byte_ids.index(None)} has no token")
        merges, _, unmade = _merges(ranks)
        return ByteLevelBPE(tokens, merges, added_from(special_tokens), pattern, whole_first=bool(unmade))


def save(tokenizer: ByteLevelBPE, path: Path) -> None:
    """Write a .tiktoken file; UserError where the ids of ranks would not be those of the merges."""
    if tokenizer.form is not None or any(not token.special for token in tokenizer.added):
        raise UserError("a .tiktoken file cannot say that text is normalized, or that it holds added tokens")
    special = set(tokenizer.special_tokens.values())
    ranks = {token: i for i, token in enumerate(tokenizer.tokens) if token is not None and i not in special}
    if list(ranks.values()) != list(range(min(ranks.values()), min(ranks.values()) + len(ranks))):
        raise UserError("a .tiktoken file needs ids in a row, with special tokens before or behind them")
    merges, _, unmade = _merges(ranks)
    if merges != tokenizer.merges or bool(unmade) != tokenizer.whole_first:
        first = next((ours for ours, theirs in zip(tokenizer.merges, merges, strict=False) if ours != theirs), None)
        raise UserError(
            "a .tiktoken file ranks tokens by their ids, which would not give these merges"
            + (f"; the first that differs makes {tokenizer.tokens[first[2]]!r}" if first else "")
        )
    with atomic_file(path) as file:
        for token, rank in ranks.items():
            file.write(base64.b64encode(token) + f" {rank}\n".encode())


def _ranks(raw: bytes) -> dict[bytes, int]:
    ranks: dict[bytes, int] = {}
    expected = None
    for number, line in enumerate(raw.split(b"\n"), start=1):
        if not line.strip():
            continue
        fields = line.split()
        try:
            token, rank = base64.b64decode(fields[0], validate=True), int(fields[1])
        except (binascii.Error, ValueError, IndexError):
            raise UserError(f"line {number} is not a token in base64 and its rank") from None
        if len(fields) != 2 or not token or rank < 0:
            raise UserError(f"line {number} is not a token in base64 and its rank")
        if token in ranks:
            raise UserError(f"line {number} has the token {token!r}, which has the rank {ranks[token]} already")
        if expected is not None and rank != expected:
            what = "is missing" if rank > expected else "comes out of order or twice"
            raise UserError(f"line {number} has the rank {rank} where {expected} is due: a rank {what}")
        ranks[token], expected = rank, rank + 1
    if not ranks:
        raise UserError("it holds no tokens")
    return ranks


def _by_id(ranks: Mapping[bytes, int], special_tokens: Mapping[str, int]) -> list[bytes | None]:
    by_rank = {rank: token for token, rank in ranks.items()}
    for text, i in special_tokens.items():
        if i in by_rank:
            raise UserError(f"the special token {text!r} has the id {i}, which is that of the token {by_rank[i]!r}")
        by_rank[i] = text.encode()
    first = min(ranks.values())
    lacking = next((i for i in range(first) if i not in by_rank), None)
    if lacking is not None:
        raise UserError(f"the rank {lacking} is missing, and no special token has it")
    return [by_rank.get(i) for i in range(max(by_rank) + 1)]


def _merges(ranks: Mapping[bytes, int]) -> tuple[list[Merge], Sequence[int], list[int]]:
    byte_ids = [ranks[bytes([byte])] for byte in range(256)]
    return recover_merges(
        ([byte_ids[byte] for byte in token], rank, rank) for token, rank in ranks.items() if len(token) > 1
    )
