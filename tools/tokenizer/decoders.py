"""The decoders of a tokenizer.json, as what each token stands for in decoded text."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, NamedTuple

from scratchgrad.errors import UserError, quoted
from scratchgrad.tools.tokenizer.byte_alphabet import BYTE_OF, read_token
from scratchgrad.tools.tokenizer.files import entry

Json = dict[str, Any]

_BYTE = re.compile(r"<0x([0-9A-F]{2})>")


class Decoder(NamedTuple):
    """The bytes of a token as the vocabulary writes it; does decoded text lose the blank that it begins with?"""

    token_bytes: Callable[[str], bytes]
    drops_first_space: bool


def read_decoder(step: Json | None, *, as_bytes: bool) -> Decoder:
    """UserError for a decoder that is not known. as_bytes: the model spells bytes; no decoder means ByteLevel."""
    kind = step["type"] if step is not None else None
    if kind == "ByteLevel" or (kind is None and as_bytes):
        return Decoder(_bytes, False)
    if step is None:
        return Decoder(lambda text: f" {text}".encode(), True)
    if kind == "WordPiece":
        mark = entry(step, "prefix", str)
        return Decoder(lambda text: (text[len(mark) :] if text.startswith(mark) else f" {text}").encode(), True)
    if kind == "Metaspace":
        blank = entry(step, "replacement", str)
        drops = step.get("prepend_scheme", "always") != "never"
        return Decoder(lambda text: text.replace(blank, " ").encode(), drops)
    if kind == "BPEDecoder":
        suffix = entry(step, "suffix", str)
        return Decoder(lambda text: text.replace(suffix, " ").encode(), False)
    steps = step["decoders"] if kind == "Sequence" else [step]
    if kind == "Sequence" and len(steps) == 1:
        return read_decoder(steps[0], as_bytes=as_bytes)
    return _sequence(steps)


def _bytes(text: str) -> bytes:
    return read_token(text) if all(character in BYTE_OF for character in text) else text.encode()


def _sequence(steps: list[Json]) -> Decoder:
    """Of Replace, ByteFallback, Fuse, Metaspace and, in the end, Strip of one blank at the beginning."""
    replaced: list[tuple[str, str]] = []
    reads_bytes = drops = False
    for step in steps:
        kind = step["type"]
        if kind == "Replace" and list(step["pattern"]) == ["String"] and entry(step["pattern"], "String", str):
            replaced.append((entry(step["pattern"], "String", str), entry(step, "content", str)))
        elif kind == "Metaspace":
            replaced.append((entry(step, "replacement", str), " "))
            drops = step.get("prepend_scheme", "always") != "never"
        elif kind == "ByteFallback":
            reads_bytes = True
        elif kind == "Strip" and (step["content"], step["start"], step["stop"]) == (" ", 1, 0):
            drops = True
        elif kind != "Fuse":
            raise UserError(f"the decoder {quoted(kind)} is not supported here")

    def token_bytes(text: str) -> bytes:
        found = _BYTE.fullmatch(text) if reads_bytes else None
        if found is not None:
            return bytes([int(found[1], 16)])
        for old, new in replaced:
            text = text.replace(old, new)
        return text.encode()

    return Decoder(token_bytes, drops)
