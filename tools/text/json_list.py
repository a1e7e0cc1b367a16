"""The values of one long JSON list, one by one, so that the list need not fit in memory."""

from __future__ import annotations

import re
from collections.abc import Iterator

from scratchgrad.tools.text.raw_file import RawFile
from scratchgrad.tools.text.streams import CHUNK, Stream

_OUTSIDE = re.compile(rb'["\[\]{},]')
_INSIDE = re.compile(rb'["\\]')


def values_of_list(stream: Stream, raw: RawFile) -> Iterator[tuple[str, str]]:
    """`record N`, from 1 on, and the text of the value, which ends where a comma or the end of the list stands.

    Told and left out is one that is too long or not UTF-8, or cut off at the end of the file.
    """
    number = 0
    for value in _pieces(stream, raw.longest_line):
        if value is None:
            raw.skip(f"record {number + 1}", stream.damage or "the list ends early")
            return
        if not value.strip():
            continue
        number += 1
        if len(value) > raw.longest_line:
            raw.skip(f"record {number}", f"more than {raw.longest_line:,} bytes")
            continue
        try:
            text = value.decode()
        except UnicodeDecodeError as error:
            raw.skip(f"record {number}", f"not UTF-8: a byte 0x{value[error.start]:02x}")
            continue
        yield f"record {number}", text


def _pieces(stream: Stream, longest: int) -> Iterator[bytes | None]:
    """What stands between the commas of the list; of too long a value its first bytes. None: the list has no end."""
    stream.readline(0)
    depth, in_string = 0, False
    value = bytearray()
    while chunk := stream.read1(CHUNK):
        start = at = 0
        while at < len(chunk):
            found = (_INSIDE if in_string else _OUTSIDE).search(chunk, at)
            if found is None:
                break
            at = found.end()
            mark = found[0]
            if mark == b"\\":
                if at == len(chunk):
                    chunk += stream.read1(CHUNK) or b""
                at += 1
            elif mark == b'"':
                in_string = not in_string
            elif mark in b"[{":
                depth += 1
                if depth == 1:
                    start = at
            elif mark in b"]}":
                depth -= 1
            if not in_string and ((mark == b"," and depth == 1) or (mark in b"]}" and depth == 0)):
                yield bytes(value + chunk[start : found.start()])
                value.clear()
                start = at
                if depth == 0:
                    return
        if len(value) <= longest:
            value += chunk[start:]
    yield None
