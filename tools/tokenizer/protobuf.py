"""As much of protocol buffers as a SentencePiece model needs: fields in a message, each number: [values]."""

from __future__ import annotations

import struct

from scratchgrad.errors import UserError

Fields = dict[int, list[int | bytes]]

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5


def fields(message: bytes) -> Fields:
    """Varints as int, the other kinds as bytes; UserError where the message ends too soon or is none."""
    found: Fields = {}
    place = 0
    while place < len(message):
        key, place = _varint(message, place)
        kind = key & 7
        if kind == VARINT:
            value, place = _varint(message, place)
            found.setdefault(key >> 3, []).append(value)
            continue
        if kind == BYTES:
            size, place = _varint(message, place)
        elif kind in (FIXED32, FIXED64):
            size = 4 if kind == FIXED32 else 8
        else:
            raise UserError(f"byte {place}: a field of the unknown kind {kind}")
        if size > len(message) - place:
            raise UserError(f"it ends too soon: a field of {size} bytes begins at byte {place} of {len(message)}")
        found.setdefault(key >> 3, []).append(message[place : place + size])
        place += size
    return found


def number(message: Fields, field: int, default: int) -> int:
    """The last value given counts; an int32 below zero is written as its 64-bit complement."""
    value = message.get(field, [default])[-1]
    if not isinstance(value, int):
        raise UserError(f"field {field} is not a number")
    return value - (1 << 64) if value >= 1 << 63 else value


def real(message: Fields, field: int) -> float:
    value = message.get(field, [bytes(4)])[-1]
    if not isinstance(value, bytes) or len(value) != 4:
        raise UserError(f"field {field} is not a float")
    result: float = struct.unpack("<f", value)[0]
    return result


def binary(message: Fields, field: int, default: bytes = b"") -> bytes:
    value = message.get(field, [default])[-1]
    if not isinstance(value, bytes):
        raise UserError(f"field {field} is not a string")
    return value


def text(message: Fields, field: int, default: str = "") -> str:
    try:
        return binary(message, field, default.encode()).decode()
    except UnicodeDecodeError:
        raise UserError(f"field {field} is not UTF-8") from None


def _varint(message: bytes, place: int) -> tuple[int, int]:
    value = shift = 0
    while place < len(message) and shift < 70:
        byte = message[place]
        value |= (byte & 0x7F) << shift
        place, shift = place + 1, shift + 7
        if byte < 0x80:
            return value, place
    raise UserError("it ends too soon, in the middle of a number" if shift < 70 else f"byte {place}: no such number")
