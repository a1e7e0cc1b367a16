"""The user's text files: .txt, .md, .py are one text each, .jsonl and .jsonl.gz one a record (its field `text`).

Pairs of texts are lines of a .tsv, source and target with a tab between, or records with fields `source` and `target`.
Prompts are lines of any other file, or the field `prompt` of records.
"""

from __future__ import annotations

import codecs
import glob
import gzip
import json
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from scratchgrad.errors import UserError

CHUNK = 1 << 20  # bytes that a streamed file is read in
LONGEST_LINE = 256 << 20  # bytes
SUFFIXES = (".txt", ".md", ".py", ".jsonl", ".jsonl.gz")
PAIR_SUFFIXES = (".tsv", ".jsonl", ".jsonl.gz")


def find_text_files(globs: Sequence[str], suffixes: tuple[str, ...] = SUFFIXES) -> list[Path]:
    """The files that the globs match, each once, in the order of their names.

    UserError for a glob without any, and for a file whose name has none of the endings.
    """
    found: set[str] = set()
    for pattern in globs:
        matches = [match for match in glob.glob(pattern, recursive=True) if Path(match).is_file()]
        if not matches:
            raise UserError(f"no file matches '{pattern}'")
        found.update(matches)
    for match in sorted(found):
        if not match.endswith(suffixes):
            raise UserError(f"'{match}': only {', '.join(suffixes)} files are read")
    return [Path(match) for match in sorted(found)]


def read_texts(path: Path) -> Iterator[tuple[str, str]]:
    """(name, text) of every text in the file; UserError where it is empty, binary, not UTF-8 or not whole."""
    if path.name.endswith((".jsonl", ".jsonl.gz")):
        for number, (text,) in _records(path, "text"):
            yield f"{path.as_posix()}:{number}", text
    else:
        yield path.as_posix(), _decoded(path, _bytes(path))


def read_pairs(path: Path) -> Iterator[tuple[str, str]]:
    """(source, target) of every line or record; UserError as of `read_texts`, and for a line that is no pair."""
    if path.suffix != ".tsv":
        for _, (source, target) in _records(path, "source", "target"):
            yield source, target
        return
    for number, line in enumerate(_decoded(path, _bytes(path)).split("\n"), start=1):
        if line.strip():
            parts = line.removesuffix("\r").split("\t")
            if len(parts) != 2:
                raise UserError(f"'{path}', line {number}: {len(parts) - 1} tabs where one between two texts is needed")
            yield parts[0], parts[1]


def read_prompts(path: Path) -> Iterator[str]:
    """Every line that is not blank, or the field `prompt` of every record; UserError as of `read_texts`."""
    if path.name.endswith((".jsonl", ".jsonl.gz")):
        for _, (prompt,) in _records(path, "prompt"):
            yield prompt
    else:
        yield from (line for line in _decoded(path, _bytes(path)).splitlines() if line.strip())


def stream_texts(path: Path) -> Iterator[Iterator[str]]:
    """Every text in the file as the chunks that it is read in, for files larger than memory; the same UserErrors."""
    if path.name.endswith((".jsonl", ".jsonl.gz")):
        yield from (iter(strings) for _, strings in _records(path, "text"))
    else:
        yield _chunks(path)


def _chunks(path: Path) -> Iterator[str]:
    decoder = codecs.getincrementaldecoder("utf-8")()
    done = 0
    try:
        with path.open("rb") as file:
            while raw := file.read(CHUNK):
                if b"\0" in raw:
                    raise UserError(f"'{path}' is binary: it has a zero byte at {done + raw.index(0)}")
                held = len(decoder.getstate()[0])
                try:
                    yield decoder.decode(raw)
                except UnicodeDecodeError as error:
                    raise _not_utf8(path, error, done - held) from None
                done += len(raw)
    except OSError as error:
        raise UserError(f"'{path}' cannot be read: {error.strerror}") from None
    if not done:
        raise UserError(f"'{path}' is empty: leave it out")
    try:
        decoder.decode(b"", final=True)
    except UnicodeDecodeError as error:
        raise _not_utf8(path, error, done - len(error.object)) from None


def _not_utf8(path: Path, error: UnicodeDecodeError, shift: int = 0) -> UserError:
    place, byte = error.start + shift, error.object[error.start]
    return UserError(f"'{path}' is not UTF-8: byte {place} is 0x{byte:02x}; convert it first")


def _bytes(path: Path) -> bytes:
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise UserError(f"'{path}' cannot be read: {error.strerror}") from None
    if not raw:
        raise UserError(f"'{path}' is empty: leave it out")
    return raw


def _decoded(path: Path, raw: bytes) -> str:
    if b"\0" in raw:
        raise UserError(f"'{path}' is binary: it has a zero byte at {raw.index(0)}")
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise _not_utf8(path, error) from None


def _records(path: Path, *fields: str) -> Iterator[tuple[int, list[str]]]:
    """The number of each line that is not blank, and the strings in these fields of its record."""
    number = 0
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            while line := file.readline(LONGEST_LINE + 1):
                number += 1
                if len(line) > LONGEST_LINE:
                    raise UserError(f"'{path}', line {number}: a record of more than {LONGEST_LINE:,} bytes")
                if line.strip():
                    yield number, _strings(path, number, line, fields)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise UserError(f"'{path}' is not a whole gzip file: {error}") from None
    except OSError as error:
        raise UserError(f"'{path}' cannot be read: {error.strerror}") from None
    if not number:
        raise UserError(f"'{path}' is empty: leave it out")


def _strings(path: Path, number: int, line: bytes, fields: Sequence[str]) -> list[str]:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise UserError(f"'{path}', line {number}: not JSON: {error}") from None
    for field in fields:
        if not isinstance(record, dict) or not isinstance(record.get(field), str):
            raise UserError(f"'{path}', line {number}: a record needs a field \"{field}\" that holds a string")
    return [record[field] for field in fields]
