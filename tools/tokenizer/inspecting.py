"""Tokens for the eye: how one is written on a screen, and how the pieces of a text were merged step by step."""

from __future__ import annotations

from collections.abc import Iterator

from scratchgrad.errors import UserError
from scratchgrad.tools.tokenizer.base import Tokenizer
from scratchgrad.tools.tokenizer.byte_level import ByteLevelBPE
from scratchgrad.tools.tokenizer.metaspace import MetaspaceBPE


def shown(token: bytes) -> str:
    """A blank as U+00B7, control characters and bytes that are no whole character escaped, the rest as it is."""
    text = token.decode("utf-8", "backslashreplace").replace(" ", "\u00b7")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def merge_steps(tokenizer: Tokenizer, text: str) -> Iterator[list[list[str]]]:
    """For each piece of `text` its parts at first and after each merge; UserError where nothing is merged."""
    if not isinstance(tokenizer, (ByteLevelBPE, MetaspaceBPE)):
        raise UserError(f"a {type(tokenizer).__name__} tokenizer has no merges to show")
    for piece in tokenizer.pieces(tokenizer.normalize(text)):
        steps = tokenizer.merger.steps(tokenizer.symbols(piece))
        yield [[shown(tokenizer.token_bytes(token)) for token in ids] for ids in steps]
