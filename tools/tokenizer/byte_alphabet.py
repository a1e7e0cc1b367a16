"""How GPT-2's files write bytes: each as one printable character, so that a token is a word without blanks."""

from __future__ import annotations

from scratchgrad.errors import UserError

# Printable bytes first, then the rest: the order of their characters, in which Hugging Face's trainer numbers them.
_PRINTABLE = [*range(33, 127), *range(161, 173), *range(174, 256)]
BYTE_ORDER = [*_PRINTABLE, *(byte for byte in range(256) if byte not in _PRINTABLE)]

# A printable byte is written as itself, the others as the characters from U+0100 on.
CHARACTER_OF = dict(zip(BYTE_ORDER, [*map(chr, _PRINTABLE), *map(chr, range(256, 512 - len(_PRINTABLE)))], strict=True))
BYTE_OF = {character: byte for byte, character in CHARACTER_OF.items()}


def written(token: bytes) -> str:
    return "".join(CHARACTER_OF[byte] for byte in token)


def read_token(text: str) -> bytes:
    """The bytes that `text` writes; UserError where it holds a character that writes none."""
    try:
        return bytes(BYTE_OF[character] for character in text)
    except KeyError:
        raise UserError(f"the token {text!r} is not written in the byte-level alphabet") from None
