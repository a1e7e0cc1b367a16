"""metrics.jsonl: one line a step, numbers at full precision."""

from __future__ import annotations

import errno
import hashlib
import json
import math
import os
from pathlib import Path
from typing import IO, Any, Self

from scratchgrad.files import atomic_file, remove

Row = dict[str, Any]
NUMBERS = ("tokens", "loss", "learning_rate", "grad_norm", "tokens_per_s")


class MetricsWriter:
    """Appends rows, each in one write: a killed run leaves at most one half line. Without a path it writes nothing.

    What the disk says against a row is kept as `fault`, so that a run can save before it ends; then nothing more is
    written. A file that was removed or exchanged meanwhile is begun anew.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._file: IO[bytes] | None = None
        self._sum = hashlib.sha256()
        self.fault: OSError | None = None

    def __enter__(self) -> Self:
        if self._path is not None:
            self._open(self._path)
            self._sum.update(self._path.read_bytes())
        return self

    def __exit__(self, *exception: object) -> None:
        if self._file is not None:
            self._file.close()

    @property
    def digest(self) -> str | None:
        """sha256 of all rows so far, as they were given; None where nothing is written."""
        return None if self._path is None or self.fault is not None else self._sum.hexdigest()

    def write(self, row: Row) -> None:
        line = (json.dumps(row, allow_nan=False) + "\n").encode()
        if self._path is None or self._file is None or self.fault is not None:
            return
        try:
            if not _is_there(self._file, self._path):
                self._file.close()
                self._open(self._path)
            end = os.fstat(self._file.fileno()).st_size
            if self._file.write(line) != len(line):
                self._file.truncate(end)  # no half line: the disk is full
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self._path))
        except OSError as error:
            error.filename = str(self._path)
            self.fault = error
        self._sum.update(line)

    def _open(self, path: Path) -> None:
        self._file = path.open("ab", buffering=0)


def _is_there(file: IO[bytes], path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def read(path: Path) -> list[Row]:
    """The whole rows of a metrics.jsonl; none where there is no such file. A damaged line is left out."""
    return _rows(_content(path))[0]


def truncate(path: Path, step: int, digest: str | None = None) -> list[str]:
    """Keep the whole rows up to `step`; a sentence for each kind of damage that was found.

    Where there is any, the file as it was stays beside it, as metrics.jsonl.damaged. The half line at the end, which a
    killed run leaves, is none. digest: of the rows up to `step`, as they were written (`MetricsWriter.digest`).
    """
    try:
        content, warnings = _content(path), []
    except OSError as error:
        content, warnings = b"", [f"'{path}' cannot be read: {error.strerror}"]
    rows, num_damaged = _rows(content)
    kept = "".join(json.dumps(row) + "\n" for row in rows if row["step"] <= step).encode()
    if num_damaged:
        warnings = [f"{num_damaged} damaged line(s) of '{path}' are left out, so it and loss.png have gaps"]
    elif not warnings and digest is not None and digest != hashlib.sha256(kept).hexdigest():
        warnings = [f"'{path}' was altered: its rows up to step {step} are not what the run wrote"]
    if warnings:
        aside = path.with_name(f"{path.name}.damaged")
        if os.path.lexists(aside):
            remove(aside)
        if os.path.lexists(path):
            path.rename(aside)
        warnings = [f"{warning}; the file as it was is {aside.name}" for warning in warnings]
    with atomic_file(path) as file:
        file.write(kept)
    return warnings


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""


def _rows(content: bytes) -> tuple[list[Row], int]:
    """The rows, and how many lines are none. Steps rise from row to row, so a line that falls back is none."""
    rows: list[Row] = []
    ended = [line for line in content.splitlines(keepends=True) if line.endswith(b"\n")]
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
