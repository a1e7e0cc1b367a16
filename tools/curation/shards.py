"""Documents on disk: JSON lines, compressed by zstd; a folder holds those of one unit."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import zstandard

from scratchgrad.tools.curation.document import Document

DOCUMENTS = "documents.jsonl.zst"
LEVEL = 3  # of zstd; its bytes depend on it and on the version of the library


def write_lines(path: Path, rows: Iterable[Any]) -> None:
    """Each row as a line of JSON. Text keeps its characters; half of a surrogate pair is escaped."""
    compressor = zstandard.ZstdCompressor(level=LEVEL)
    with path.open("wb") as raw, compressor.stream_writer(raw, closefd=False) as packed:
        for row in rows:
            packed.write(_line(row))


def read_lines(path: Path) -> Iterator[Any]:
    with path.open("rb") as raw, zstandard.ZstdDecompressor().stream_reader(raw, read_across_frames=True) as unpacked:
        for line in io.BufferedReader(unpacked):
            yield json.loads(line)


def write_documents(folder: Path, documents: Iterable[Document]) -> None:
    write_lines(folder / DOCUMENTS, (asdict(document) for document in documents))


def read_documents(folder: Path) -> Iterator[Document]:
    return (Document(**row) for row in read_lines(folder / DOCUMENTS))


def _line(row: Any) -> bytes:
    try:
        return json.dumps(row, ensure_ascii=False).encode() + b"\n"
    except UnicodeEncodeError:
        return json.dumps(row).encode() + b"\n"
