"""Records of web archives: WARC (ISO 28500) and ARC, found again where a record says a wrong length."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from scratchgrad.errors import quoted
from scratchgrad.tools.text.raw_file import RawFile
from scratchgrad.tools.text.streams import CHUNK, Stream

MAX_HEADER = 1 << 16  # bytes
_WARC_BEGIN = re.compile(rb"(?:\A|(?<=\n))WARC/\d+\.\d+[ \t]*\r?\n")
_ARC_BEGIN = re.compile(rb"(?:\A|(?<=\n))[a-z][a-z0-9+.-]*:\S* [^\s]+ \d{14} (?:[^ \n]+ ){1,6}\d+\r?\n")
_BLANK = re.compile(rb"[\r\n]*")
_SEPARATOR = b"\r\n\r\n"  # behind a record of a WARC file
_HEADER_END = re.compile(rb"\r?\n\r?\n")
_LONGEST_BEGIN = 1 << 13  # bytes in which a record's first line ends


CUT = "its Content-Length is wrong"


@dataclass(frozen=True)
class Record:
    """place: of its first byte in the file, as `RawFile` names it. headers: with names in lower case."""

    place: str
    headers: Mapping[str, str]
    body: bytes


class _Window:
    """What is read ahead of a stream."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self.data = bytearray()
        self.begin = 0  # of `data`, in the stream

    def fill(self, size: int) -> bool:
        """Whether `size` bytes are there; to fewer than these the stream has ended."""
        while len(self.data) < size:
            piece = self._stream.read1(CHUNK)
            if not piece:
                return False
            self.data += piece
        return True

    def drop(self, size: int) -> None:
        del self.data[:size]
        self.begin += size

    @property
    def is_damaged(self) -> bool:
        return bool(self._stream.damage)

    @property
    def place(self) -> str:
        unpacked = self._stream.raw
        return str(unpacked.place(self.begin))  # type: ignore[attr-defined]


def records(stream: Stream, raw: RawFile, is_arc: bool) -> Iterator[Record]:
    """Every record of a file. Told is one that is cut off, or whose header or length is wrong; then follows the next
    one that can be found."""
    begins = _ARC_BEGIN if is_arc else _WARC_BEGIN
    window = _Window(stream)
    while True:
        yield from _records(window, raw, begins, is_arc)
        if not stream.damage:
            if not window.begin and not window.data:
                raw.skip("", "is empty: leave it out")
            return
        raw.skip("", f"{stream.damage}, in the record at byte {window.place}")
        window.drop(len(window.data))
        if not stream.resume():
            return


def _records(window: _Window, raw: RawFile, begins: re.Pattern[bytes], is_arc: bool) -> Iterator[Record]:
    """Up to the end of the stream, or to its damage."""
    read_header = _arc_header if is_arc else _warc_header
    while True:
        while window.fill(1) and (blank := _BLANK.match(window.data)) and blank.end():
            window.drop(blank.end())
        if not window.data:
            return
        window.fill(MAX_HEADER)
        headers, size = read_header(window.data)
        fault, start = "", 1
        length = headers.get("content-length", "")
        if not size:
            fault = "no record begins here" if len(window.data) >= MAX_HEADER or not begins.match(window.data) else CUT
        elif not (length.isascii() and length.isdigit()) or len(length) > 15:
            fault = f"its Content-Length is {quoted(length)}"
        elif int(length) > raw.longest_line:
            fault = f"{int(length):,} bytes, and a document may have {raw.longest_line:,}"
        else:
            start, end = size, size + int(length)
            fault = _boundary_fault(window, start, end, begins)
        if not fault:
            yield Record(window.place, headers, bytes(window.data[start:end]))
            window.drop(end)
            continue
        place = window.place
        is_found = _find_next(window, start, begins)
        if not is_found and window.is_damaged:
            return
        raw.skip(f"byte {place}", "it ends early" if fault == CUT and not is_found else fault)
        if not is_found:
            return


def _boundary_fault(window: _Window, start: int, end: int, begins: re.Pattern[bytes]) -> str:
    """Whether a record ends at `end`, where a next one begins, or the file ends; a damaged file has no such end."""
    window.fill(end + _LONGEST_BEGIN)
    if len(window.data) < end:
        return CUT
    blank = _BLANK.match(window.data, end)
    assert blank is not None
    is_last = blank.end() == len(window.data) or (
        blank.end() > end
        and len(window.data) < blank.end() + _LONGEST_BEGIN
        and window.data.find(b"\n", blank.end()) < 0
    )  # or the next one is cut off in its first line
    if is_last or begins.match(window.data, blank.end()):
        return ""
    is_right = window.data.startswith(_SEPARATOR, end) and not begins.search(window.data, start, end)
    return "" if is_right else CUT  # right: it is the next record that is damaged


def _find_next(window: _Window, start: int, begins: re.Pattern[bytes]) -> bool:
    """Go to the next place behind `start` where a record begins; False where there is none up to the end."""
    while True:
        found = begins.search(window.data, start)
        if found:
            window.drop(found.start())
            return True
        size = len(window.data)
        if not window.fill(size + 1):
            return False
        kept = min(size, _LONGEST_BEGIN)
        window.drop(size - kept)
        start = 1


def _warc_header(data: bytearray) -> tuple[dict[str, str], int]:
    """The headers at the beginning of `data`, and their length with the blank line; 0 where there are none."""
    end = _HEADER_END.search(data, 0, MAX_HEADER)
    if not _WARC_BEGIN.match(data) or not end:
        return {}, 0
    headers: dict[str, str] = {}
    name = ""
    for line in bytes(data[: end.start()]).decode("utf-8", "replace").splitlines()[1:]:
        if line[:1] in (" ", "\t") and name:
            headers[name] += " " + line.strip()
        else:
            name, _, value = line.partition(":")
            name = name.strip().lower()
            headers.setdefault(name, value.strip())
    return headers, end.end()


def _arc_header(data: bytearray) -> tuple[dict[str, str], int]:
    """The same of a line of ARC, by the names of WARC."""
    found = _ARC_BEGIN.match(data)
    if not found:
        return {}, 0
    url, _, date, kind, *_, length = found[0].decode("utf-8", "replace").split()
    headers = {
        "warc-type": "warcinfo"
        if url.startswith("filedesc:")
        else "response"
        if url.startswith("http")
        else "resource",
        "warc-target-uri": url,
        "warc-date": f"{date[:4]}-{date[4:6]}-{date[6:8]}T{date[8:10]}:{date[10:12]}:{date[12:]}Z",
        "content-type": kind,
        "content-length": length,
    }
    return headers, found.end()
