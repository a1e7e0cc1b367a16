"""A .tiktoken file: on each line a token in base64 and its rank, which is its id. Any neighbours that spell one merge.

It holds neither a pattern nor special tokens; those of OpenAI's own files are known by their names.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from scratchgrad.errors import UserError
from scratchgrad.files import atomic_file
from scratchgrad.tools.tokenizer.byte_level import BYTES_OF_TEXT, ByteLevelBPE
from scratchgrad.tools.tokenizer.files import complaints_name, read_file
from scratchgrad.tools.tokenizer.merging import Merge, recover_merges
from scratchgrad.tools.tokenizer.templates import around
from scratchgrad.tools.tokenizer.vocabulary import LARGEST_ID, added_from


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

# meta-llama/llama3, tokenizer.py
LLAMA3 = [
    "<|begin_of_text|>", "<|end_of_text|>", *(f"<|reserved_special_token_{i}|>" for i in range(4)),
    "<|start_header_id|>", "<|end_header_id|>", "<|reserved_special_token_4|>", "<|eot_id|>",
    *(f"<|reserved_special_token_{i}|>" for i in range(5, 251)),
]  # fmt: skip


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
        ranks = _ranks(raw, special_tokens.values())
        tokens = _by_id(ranks, special_tokens)
        missing = [byte for byte in BYTES_OF_TEXT if bytes([byte]) not in ranks]
        if missing:
            raise UserError(f"the byte {missing[0]} has no token")
        merges, _, unmade = _merges(ranks)
        return ByteLevelBPE(tokens, merges, added_from(special_tokens), pattern, whole_first=bool(unmade))


def load_llama3(path: Path) -> ByteLevelBPE:
    """Llama 3's tokenizer.model, which is such a file: cl100k's pattern, and 256 special tokens behind the others."""
    with complaints_name(path):
        first = len(_ranks(read_file(path), ()))
        special_tokens = {name: first + i for i, name in enumerate(LLAMA3)}
    loaded = load(path, pattern="gpt4", special_tokens=special_tokens)
    loaded.template = around([first], [])
    return loaded


def is_tiktoken(raw: bytes) -> bool:
    """Is the first line a token in base64 and its rank?"""
    return re.match(rb"[A-Za-z0-9+/]+={0,2} \d+\r?\n", raw) is not None


def save(tokenizer: ByteLevelBPE, path: Path) -> None:
    """Write a .tiktoken file; UserError where the ids of ranks would not be those of the merges."""
    if tokenizer.form is not None or any(not token.special for token in tokenizer.added):
        raise UserError("a .tiktoken file cannot say that text is normalized, or that it holds added tokens")
    special = set(tokenizer.special_tokens.values())
    ranks = {token: i for i, token in enumerate(tokenizer.tokens) if token is not None and i not in special}
    if not special.issuperset({*range(min(ranks.values()), max(ranks.values()))} - {*ranks.values()}):
        raise UserError("a .tiktoken file needs ids in a row, but for those of special tokens")
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


def _ranks(raw: bytes, filled: Collection[int]) -> dict[bytes, int]:
    """filled: ids of special tokens, which ranks leave out."""
    filled = set(filled)
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
        if len(fields) != 2 or not token or not 0 <= rank < LARGEST_ID:
            raise UserError(f"line {number} is not a token in base64 and its rank")
        if token in ranks:
            raise UserError(f"line {number} has the token {token!r}, which has the rank {ranks[token]} already")
        if expected is not None and (
            rank < expected or not filled.issuperset(range(expected, min(rank, expected + 1000)))
        ):
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
    byte_ids = [ranks.get(bytes([byte]), -1) for byte in range(256)]
    return recover_merges(
        ([byte_ids[byte] for byte in token], rank, rank)
        for token, rank in ranks.items()
        if len(token) > 1 and all(byte_ids[byte] >= 0 for byte in token)
    )
