"""The bytes of a file, decompressed as they are read: gzip in any number of members, zstd in any number of frames.

A file that is damaged ends there, with `damage` saying how, and `resume` finds the next member or frame behind.
"""

from __future__ import annotations

import io
import re
import zlib
from collections import deque
from typing import Any, BinaryIO

from scratchgrad.tools.text.optional import need

PIECE = 1 << 16  # bytes that are read of a file at once
AHEAD = 1 << 18  # ... that a member is tried on: a block of zstd has at most half of it
ZSTD_PIECE = 1 << 8  # bytes that zstd is given at once: 8 MB may come out of them
MOST = 1 << 20  # bytes that gzip gives at once


class _Damaged(Exception):
    pass


class _GzipMember:
    begins = re.compile(rb"\x1f\x8b\x08[\x00-\x1f]")

    def __init__(self) -> None:
        self._inner = zlib.decompressobj(wbits=31)

    def unpack(self, packed: bytes) -> tuple[bytes, int]:
        """What comes out, and how many bytes of `packed` it was in."""
        try:
            unpacked = self._inner.decompress(packed, MOST)
        except zlib.error as error:
            raise _Damaged(str(error).rpartition(": ")[2]) from None
        rest = self._inner.unused_data if self._inner.eof else self._inner.unconsumed_tail
        return unpacked, len(packed) - len(rest)

    @property
    def eof(self) -> bool:
        return self._inner.eof


class _ZstdFrame:
    begins = re.compile(rb"\x28\xb5\x2f\xfd")

    def __init__(self) -> None:
        zstandard = need("zstandard", "curate")
        self._error = zstandard.ZstdError
        self._inner: Any = zstandard.ZstdDecompressor().decompressobj()

    def unpack(self, packed: bytes) -> tuple[bytes, int]:
        piece = packed[:ZSTD_PIECE]
        try:
            unpacked = self._inner.decompress(piece)
        except self._error as error:
            raise _Damaged(str(error).rpartition(": ")[2]) from None
        return unpacked, len(piece) - (len(self._inner.unused_data) if self._inner.eof else 0)

    @property
    def eof(self) -> bool:
        return bool(self._inner.eof)


_MEMBERS: dict[str, type[_GzipMember | _ZstdFrame]] = {"gzip": _GzipMember, "zstd": _ZstdFrame}


class Unpacked(io.RawIOBase):
    """Wrap it in io.BufferedReader. compression: gzip, zstd, or '' for none."""

    def __init__(self, file: BinaryIO, compression: str) -> None:
        self._file, self._compression = file, compression
        self._ready, self._packed = memoryview(b""), b""
        self._member: _GzipMember | _ZstdFrame | None = None
        self._given = self._taken = 0  # bytes: given unpacked; of the file, before those in `_packed`
        self._begins: deque[tuple[int, int]] = deque()  # of members: where in what is given, where in the file
        self.damage = self._fault = ""

    def readable(self) -> bool:
        return True

    def readinto(self, target: Any) -> int:
        if not self._ready:
            self._ready = memoryview(self._unpack())
        size = min(len(target), len(self._ready))
        target[:size] = self._ready[:size]
        self._ready = self._ready[size:]
        self._given += size
        return size

    def place(self, position: int) -> str:
        """Where in the file the byte at `position` of what was given comes from: its offset, or member+offset in it.

        Positions are asked for in rising order.
        """
        while len(self._begins) > 1 and self._begins[1][0] <= position:
            self._begins.popleft()
        if not self._begins:
            return str(position)
        given, taken = self._begins[0]
        return str(taken) if given == position else f"{taken}+{position - given}"

    def resume(self) -> bool:
        """Go on at the next member or frame behind the damage; False where there is none."""
        if not self._compression:
            return False
        kind = _MEMBERS[self._compression]
        while True:
            while len(self._packed) < AHEAD and (more := self._read()):
                self._packed += more
            found = kind.begins.search(self._packed)
            if found is None and len(self._packed) < AHEAD:
                return False
            self._take(found.start() if found else len(self._packed) - 3)
            if found and self._is_member(kind()):
                self.damage = ""
                return True
            if found:
                self._take(1)

    def _is_member(self, member: _GzipMember | _ZstdFrame) -> bool:
        """Whether something comes out of what is ahead, which is the next to be given then."""
        taken, unpacked = 0, b""
        try:
            while taken < len(self._packed) and not unpacked and not member.eof:
                unpacked, size = member.unpack(self._packed[taken:])
                taken += size
        except _Damaged:
            return False
        if not unpacked:
            return False
        self._begin(member)
        self._take(taken)
        self._ready = memoryview(unpacked)
        return True

    def _begin(self, member: _GzipMember | _ZstdFrame) -> None:
        self._begins.append((self._given, self._taken))
        self._member = member

    def _take(self, size: int) -> None:
        self._packed, self._taken = self._packed[size:], self._taken + size

    def _unpack(self) -> bytes:
        """The next bytes, none at the end or at a damage."""
        while not self.damage:
            self._packed = self._packed or self._read()
            if not self._compression:
                piece, self._packed = self._packed, b""
                return piece
            if self._member is None or self._member.eof:
                if not self._skip_padding():
                    return b""
                self._begin(_MEMBERS[self._compression]())
            if not self._packed:
                self.damage = self._fault or f"is not a whole {self._compression} file: it ends early"
                break
            assert self._member is not None
            try:
                unpacked, size = self._member.unpack(self._packed)
            except _Damaged as error:
                self._take(1)  # so that `resume` does not find this one again
                self.damage = f"is not a whole {self._compression} file: {error}"
                break
            self._take(size)
            if unpacked:
                return unpacked
        return b""

    def _read(self) -> bytes:
        try:
            return self._file.read(PIECE)
        except OSError as error:
            self._fault = self.damage = f"cannot be read: {error.strerror}"
            return b""

    def _skip_padding(self) -> bool:
        """Past the zeros that tapes put between members; whether something follows."""
        while self._taken and self._packed and not self._packed.strip(b"\0"):
            self._taken += len(self._packed)
            self._packed = self._read()
        if self._taken:
            self._take(len(self._packed) - len(self._packed.lstrip(b"\0")))
        return bool(self._packed)
