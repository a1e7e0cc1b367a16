"""The user's text files: .txt, .md, .py are one text each, .jsonl and .jsonl.gz one a record (its field `text`).

Pairs of texts are lines of a .tsv, source and target with a tab between, or records with fields `source` and `target`.
Prompts are lines of any other file, or the field `prompt` of records.
"""

from __future__ import annotations

import glob
import gzip
import io
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from scratchgrad.errors import UserError

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


def _records(path: Path, *fields: str) -> Iterator[tuple[int, list[str]]]:
    """The number of each line that is not blank, and the strings in these fields of its record."""
    raw = _bytes(path)
    file = gzip.GzipFile(fileobj=io.BytesIO(raw)) if path.suffix == ".gz" else io.BytesIO(raw)
    try:
        for number, line in enumerate(file, start=1):
            if line.strip():
                yield number, _strings(path, number, line, fields)
    except (EOFError, OSError) as error:
        raise UserError(f"'{path}' is not a whole gzip file: {error}") from None


def _strings(path: Path, number: int, line: bytes, fields: Sequence[str]) -> list[str]:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise UserError(f"'{path}', line {number}: not JSON: {error}") from None
    for field in fields:
        if not isinstance(record, dict) or not isinstance(record.get(field), str):
            raise UserError(f"'{path}', line {number}: a record needs a field \"{field}\" that holds a string")
    return [record[field] for field in fields]
