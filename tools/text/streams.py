"""A file as a stream of UTF-8: unpacked, without a byte order mark, and from UTF-16 or UTF-32 where a mark says so."""

from __future__ import annotations

import codecs
import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from scratchgrad.files.faults import OPEN_FILES, read_fault
from scratchgrad.tools.text.compression import Unpacked
from scratchgrad.tools.text.raw_file import RawFile

CHUNK = 1 << 20  # bytes that a streamed file is read in
MARKS = (  # longer ones first: that of UTF-32 begins as that of UTF-16
    (codecs.BOM_UTF32_LE, "utf-32-le"), (codecs.BOM_UTF32_BE, "utf-32-be"), (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"),
)  # fmt: skip


class Stream(io.BufferedReader):
    """damage: why it ends where it does, '' where that is the end of the file. resume: go on behind the damage."""

    @property
    def damage(self) -> str:
        return str(self._inner.damage)

    def resume(self) -> bool:
        return bool(self._inner.resume())

    @property
    def _inner(self) -> Any:
        return self.raw


class Recoded(io.RawIOBase):
    """Another encoding as UTF-8."""

    def __init__(self, inner: Any, encoding: str) -> None:
        self._inner, self._encoding = inner, encoding
        self._decoder = codecs.getincrementaldecoder(encoding)()
        self._ready, self._fault, self._done = b"", "", False

    def readable(self) -> bool:
        return True

    def readinto(self, target: Any) -> int:
        while not self._ready and not self._done:
            raw = self._inner.read(CHUNK)
            self._done = not raw
            try:
                self._ready = self._decoder.decode(raw, final=self._done).encode()
            except UnicodeError:
                self._fault, self._done = f"is not whole {self._encoding.upper()}, as its first bytes say", True
        size = min(len(target), len(self._ready))
        target[:size], self._ready = self._ready[:size], self._ready[size:]
        return size

    @property
    def damage(self) -> str:
        return self._inner.raw.damage or self._fault

    def resume(self) -> bool:
        return False


def marked_encoding(head: bytes) -> tuple[str, int]:
    """The encoding that a byte order mark at the beginning says, and the length of the mark; ('', 0) without one."""
    return next(((encoding, len(mark)) for mark, encoding in MARKS if head.startswith(mark)), ("", 0))


@contextmanager
def tells_read_faults(path: Path) -> Iterator[None]:
    """Inside, what the system says against reading the file is a UserError that names it."""
    try:
        yield
    except OSError as error:
        raise read_fault(path, error) from None


@contextmanager
def unpacked(raw: RawFile) -> Iterator[Stream | None]:
    """The bytes of a file; None where it cannot be opened, which is told."""
    try:
        file = raw.path.open("rb", buffering=0)
    except OSError as error:
        if error.errno in OPEN_FILES:
            raise read_fault(raw.path, error) from None
        raw.skip("", f"cannot be read: {error.strerror}")
        yield None
        return
    with file:
        yield Stream(Unpacked(file, raw.compression), CHUNK)


@contextmanager
def opened(raw: RawFile) -> Iterator[Stream | None]:
    """The text of a file as UTF-8; None where it cannot be opened, which is told."""
    with unpacked(raw) as stream:
        if stream is None:
            yield None
            return
        encoding, length = marked_encoding(stream.peek(4)[:4])
        stream.read(length)
        yield stream if encoding in ("", "utf-8") else Stream(Recoded(stream, encoding), CHUNK)


def lines(stream: Stream, raw: RawFile) -> Iterator[tuple[int, str]]:
    """The number of each line, from 1 on, and its text with its end. Only \\n ends a line.

    Told and left out is a line that is too long, binary or not UTF-8, or cut off where the file is damaged.
    """
    number = offset = 0
    while True:
        line = stream.readline(raw.longest_line + 1)
        if (not line or not line.endswith(b"\n")) and stream.damage:
            raw.skip("", f"{stream.damage}, in line {number + 1}")
            if not stream.resume():
                return
            continue
        if not line:
            break
        number += 1
        begin, offset = offset, offset + len(line)
        if len(line) > raw.longest_line:
            raw.skip(f"line {number}", f"a line of more than {raw.longest_line:,} bytes")
            while not line.endswith(b"\n") and (line := stream.readline(CHUNK)):
                offset += len(line)
        elif b"\0" in line:
            raw.skip(f"line {number}", "binary: it has a zero byte")
        else:
            try:
                held = [line.decode()]
            except UnicodeDecodeError as error:
                place, byte = begin + error.start, line[error.start]
                raw.skip(f"line {number}", f"not UTF-8: byte {place} is 0x{byte:02x}; convert it first")
            else:
                line = b"-"  # a line may be most of the memory: nothing here names it while the caller works with it
                yield number, held.pop()
    if not number:
        raw.skip("", "is empty: leave it out")


def chunks(stream: Stream, raw: RawFile) -> Iterator[str]:
    """The text of a whole file as the chunks that it is read in; after a fault, which is told, no more of them."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    done = 0
    while piece := stream.read1(CHUNK):
        if b"\0" in piece:
            raw.skip("", f"is binary: it has a zero byte at {done + piece.index(0)}")
            return
        held = len(decoder.getstate()[0])
        try:
            yield decoder.decode(piece)
        except UnicodeDecodeError as error:
            return _not_utf8(raw, error, done - held)
        done += len(piece)
    if stream.damage:
        return raw.skip("", stream.damage)
    if not done:
        return raw.skip("", "is empty: leave it out")
    try:
        decoder.decode(b"", final=True)
    except UnicodeDecodeError as error:
        _not_utf8(raw, error, done - len(error.object))


def _not_utf8(raw: RawFile, error: UnicodeDecodeError, shift: int) -> None:
    place, byte = error.start + shift, error.object[error.start]
    raw.skip("", f"is not UTF-8: byte {place} is 0x{byte:02x}; convert it first")
