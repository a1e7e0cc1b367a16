"""Documents on disk: JSON lines, compressed by zstd; a folder holds those of one unit."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

from scratchgrad.files import DamagedFiles
from scratchgrad.tools.curation.document import Document
from scratchgrad.tools.text.optional import need

DOCUMENTS = "documents.jsonl.zst"
LEVEL = 3  # of zstd; its bytes depend on it and on the version of the library


class LineWriter:
    """A context; each row that is appended becomes a line of JSON. Half of a surrogate pair is escaped."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def append(self, row: Any) -> None:
        self._packed.write(_line(row))

    def __enter__(self) -> LineWriter:
        zstandard = need("zstandard", "curate")
        self._packed: Any = zstandard.ZstdCompressor(level=LEVEL).stream_writer(self._path.open("wb"))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._packed.close()


def write_lines(path: Path, rows: Iterable[Any]) -> None:
    with LineWriter(path) as writer:
        for row in rows:
            writer.append(row)


def read_lines(path: Path) -> Iterator[Any]:
    """DamagedFiles where the file is not whole."""
    zstandard: Any = need("zstandard", "curate")
    try:
        with (
            path.open("rb") as raw,
            zstandard.ZstdDecompressor().stream_reader(raw, read_across_frames=True) as unpacked,
        ):
            for line in io.BufferedReader(unpacked):
                yield json.loads(line)
    except (zstandard.ZstdError, ValueError) as error:
        raise DamagedFiles(f"'{path}' is damaged ({error}): remove the folder, and curate again") from None


def write_documents(folder: Path, documents: Iterable[Document]) -> None:
    write_lines(folder / DOCUMENTS, (document.row() for document in documents))


def read_documents(folder: Path) -> Iterator[Document]:
    return (Document(**row) for row in read_lines(folder / DOCUMENTS))


def _line(row: Any) -> bytes:
    try:
        return json.dumps(row, ensure_ascii=False).encode() + b"\n"
    except UnicodeEncodeError:
        return json.dumps(row).encode() + b"\n"
