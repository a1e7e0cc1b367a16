"""The user's text files: .txt, .md, .py are one text each, .jsonl and .jsonl.gz one a record (its field `text`)."""

from __future__ import annotations

import glob
import gzip
import io
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from scratchgrad.errors import UserError

SUFFIXES = (".txt", ".md", ".py", ".jsonl", ".jsonl.gz")


def find_text_files(globs: Sequence[str]) -> list[Path]:
    """The files that the globs match, each once, in the order of their names; UserError for a glob without any."""
    found: set[str] = set()
    for pattern in globs:
        matches = [match for match in glob.glob(pattern, recursive=True) if Path(match).is_file()]
        if not matches:
            raise UserError(f"no file matches '{pattern}'")
        found.update(matches)
    for match in sorted(found):
        if not match.endswith(SUFFIXES):
            raise UserError(f"'{match}': only {', '.join(SUFFIXES)} files are read")
    return [Path(match) for match in sorted(found)]


def read_texts(path: Path) -> Iterator[tuple[str, str]]:
    """(name, text) of every text in the file; UserError where it is empty, binary, not UTF-8 or not whole."""
    if path.name.endswith((".jsonl", ".jsonl.gz")):
        yield from _records(path)
    else:
        yield path.as_posix(), _decoded(path, _bytes(path))


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
        raise UserError(
            f"'{path}' is not UTF-8: byte {error.start} is 0x{raw[error.start]:02x}; convert it first"
        ) from None


def _records(path: Path) -> Iterator[tuple[str, str]]:
    raw = _bytes(path)
    file = gzip.GzipFile(fileobj=io.BytesIO(raw)) if path.suffix == ".gz" else io.BytesIO(raw)
    try:
        for number, line in enumerate(file, start=1):
            if line.strip():
                yield f"{path.as_posix()}:{number}", _text_of(path, number, line)
    except (EOFError, OSError) as error:
        raise UserError(f"'{path}' is not a whole gzip file: {error}") from None


def _text_of(path: Path, number: int, line: bytes) -> str:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise UserError(f"'{path}', line {number}: not JSON: {error}") from None
    if not isinstance(record, dict) or not isinstance(record.get("text"), str):
        raise UserError(f"'{path}', line {number}: a record needs a field \"text\" that holds a string")
    text: str = record["text"]
    return text
