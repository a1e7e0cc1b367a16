"""Files of text: found by globs, read whole or in chunks, and refused where they are no text.

UserError where a file is empty, binary, not UTF-8, or not a whole gzip file.
"""

from __future__ import annotations

import codecs
import glob
import gzip
import os
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, cast

from scratchgrad.errors import UserError
from scratchgrad.files.faults import read_fault

CHUNK = 1 << 20  # bytes that a streamed file is read in
LONGEST_LINE = 256 << 20  # bytes


def find_files(globs: Sequence[str], suffixes: tuple[str, ...]) -> list[Path]:
    """The files that are meant, each once, in the order of their names.

    globs: of files; a name that is a file's is that file, and a folder's name is all files below it that can be read,
    but for hidden ones. ~ is the home folder. UserError where nothing is meant, and for a file whose name has none of
    the endings, with .gz behind it or not.
    """
    found: set[str] = set()
    for pattern in globs:
        meant = os.path.expanduser(pattern)
        if os.path.isdir(meant):
            matches = [name for name in _below(meant) if kind_of(Path(name)) in suffixes]
            nothing = f"no file below '{pattern}' can be read: none is {_told(suffixes)}"
        else:
            names = [meant] if os.path.exists(meant) else glob.glob(meant, recursive=True)
            matches = [name for name in names if Path(name).is_file()]
            nothing = f"no file matches '{pattern}'" if glob.has_magic(meant) else f"'{pattern}' does not exist"
        if not matches:
            raise UserError(nothing)
        found.update(matches)
    for match in sorted(found):
        if kind_of(Path(match)) not in suffixes:
            raise UserError(f"'{match}': only {', '.join(suffixes)} files are read, and these with .gz")
    return [Path(match) for match in sorted(found)]


def _below(root: str) -> Iterator[str]:
    for folder, folders, names in os.walk(root):
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (os.path.join(folder, name) for name in names if not name.startswith("."))


def _told(suffixes: tuple[str, ...]) -> str:
    return ", ".join(suffixes[:-1]) + f" or {suffixes[-1]}"


def kind_of(path: Path) -> str:
    """The ending that says what a file holds, compressed or not: .jsonl of a.jsonl.gz."""
    return Path(path.name.removesuffix(".gz")).suffix


def read_whole(path: Path) -> str:
    return "".join(read_chunks(path))


def read_chunks(path: Path) -> Iterator[str]:
    """The text of a file as the chunks that it is read in, for files larger than memory."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    done = 0
    with _opened(path) as file:
        while raw := file.read(CHUNK):
            if b"\0" in raw:
                raise UserError(f"'{path}' is binary: it has a zero byte at {done + raw.index(0)}")
            held = len(decoder.getstate()[0])
            try:
                yield decoder.decode(raw)
            except UnicodeDecodeError as error:
                raise _not_utf8(path, error, done - held) from None
            done += len(raw)
    if not done:
        raise UserError(f"'{path}' is empty: leave it out")
    try:
        decoder.decode(b"", final=True)
    except UnicodeDecodeError as error:
        raise _not_utf8(path, error, done - len(error.object)) from None


def read_lines(path: Path) -> Iterator[tuple[int, str]]:
    """The number of each line that is not blank, from 1 on, and its text. Only \\n and \\r\\n end a line."""
    for number, text in decoded_lines(path):
        if not text.isspace():
            held = [text.removesuffix("\n").removesuffix("\r")]
            text = ""  # a line may be most of the memory: nothing here names it while the caller works with it
            yield number, held.pop()


def decoded_lines(path: Path) -> Iterator[tuple[int, str]]:
    """The number of each line, from 1 on, and its text with its end. Only \\n ends a line."""
    number = 0
    with _opened(path) as file:
        while line := file.readline(LONGEST_LINE + 1):
            number += 1
            if len(line) > LONGEST_LINE:
                raise UserError(f"'{path}', line {number}: a line of more than {LONGEST_LINE:,} bytes")
            if b"\0" in line:
                raise UserError(f"'{path}' is binary: line {number} has a zero byte")
            try:
                held = [line.decode()]
            except UnicodeDecodeError as error:
                raise _not_utf8(path, error, file.tell() - len(line)) from None
            line = b"-"
            yield number, held.pop()
    if not number:
        raise UserError(f"'{path}' is empty: leave it out")


@contextmanager
def tells_read_faults(path: Path) -> Iterator[None]:
    """Inside, what the system says against reading the file is a UserError that names it."""
    try:
        yield
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise UserError(f"'{path}' is not a whole gzip file: {error}") from None
    except OSError as error:
        raise read_fault(path, error) from None


@contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    with tells_read_faults(path), path.open("rb") as raw:
        yield cast(IO[bytes], gzip.GzipFile(fileobj=raw)) if path.suffix == ".gz" else raw


def _not_utf8(path: Path, error: UnicodeDecodeError, shift: int) -> UserError:
    place, byte = error.start + shift, error.object[error.start]
    return UserError(f"'{path}' is not UTF-8: byte {place} is 0x{byte:02x}; convert it first")
