"""metrics.jsonl: one line a step, numbers at full precision."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import IO, Any, Self

from scratchgrad.files import atomic_file

Row = dict[str, Any]
NUMBERS = ("tokens", "loss", "learning_rate", "grad_norm", "tokens_per_s")


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
    """The whole rows of a metrics.jsonl; none where there is no such file. A damaged line is left out."""
    return _rows(path)[0]


def truncate(path: Path, step: int) -> int:
    """Keep the whole rows up to `step`; returns how many lines were damaged.

    Where there are any, the file as it was stays beside it, as metrics.jsonl.damaged. The half line at the end, which a
    killed run leaves, is none.
    """
    rows, num_damaged = _rows(path)
    if num_damaged:
        shutil.copyfile(path, path.with_name(f"{path.name}.damaged"))
    with atomic_file(path) as file:
        file.write("".join(json.dumps(row) + "\n" for row in rows if row["step"] <= step).encode())
    return num_damaged


def _rows(path: Path) -> tuple[list[Row], int]:
    """The rows, and how many lines are none. Steps rise from row to row, so a line that falls back is none."""
    rows: list[Row] = []
    lines = path.read_bytes().splitlines(keepends=True) if path.exists() else []
    ended = [line for line in lines if line.endswith(b"\n")]
    for line in ended:
        row = _row(line)
        if row is not None and (not rows or row["step"] > rows[-1]["step"]):
            rows.append(row)
    return rows, len(ended) - len(rows)


def _row(line: bytes) -> Row | None:
    try:
        row = json.loads(line, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return None
    if not isinstance(row, dict) or type(row.get("step")) is not int:
        return None
    numbers = (value for name, value in row.items() if name in NUMBERS or name.startswith("val_"))
    return row if all(type(value) in (int, float) and math.isfinite(value) for value in numbers) else None


def _refuse(constant: str) -> float:
    raise ValueError(f"{constant} is no JSON")
