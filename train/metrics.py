"""metrics.jsonl: one line a step, numbers at full precision."""

from __future__ import annotations

import json
from pathlib import Path
from typing import IO, Any, Self

from scratchgrad.files import atomic_file

Row = dict[str, Any]


class MetricsWriter:
    """Appends rows, each in one write: a killed run leaves at most one half line. Without a path it writes nothing."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._file: IO[str] | None = None

    def __enter__(self) -> Self:
        self._file = self._path.open("a", encoding="utf-8") if self._path is not None else None
        return self

    def __exit__(self, *exception: object) -> None:
        if self._file is not None:
            self._file.close()

    def write(self, row: Row) -> None:
        if self._file is not None:
            self._file.write(json.dumps(row, allow_nan=False) + "\n")
            self._file.flush()


def read(path: Path) -> list[Row]:
    """The whole rows of a metrics.jsonl; none where there is no such file."""
    rows = []
    for line in path.read_bytes().splitlines(keepends=True) if path.exists() else []:
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if line.endswith(b"\n") and isinstance(row, dict) and "step" in row:
            rows.append(row)
    return rows


def truncate(path: Path, step: int) -> None:
    """Keep the whole rows up to `step`."""
    kept = [row for row in read(path) if row["step"] <= step]
    with atomic_file(path) as file:
        file.write("".join(json.dumps(row) + "\n" for row in kept).encode())
