"""Map, shuffle and reduce, over records of a fixed dtype that need not fit into memory.

A map task writes its records as runs: sorted files of a bounded size. A reduce task reads one range of keys out of
every run. Ranges are cut where the records lie, so that each holds about `BYTES`; they follow one another, and so does
what is made of them: neither the number of ranges, nor which task wrote a record, nor in which order, changes a byte.
The first field of a dtype is the key; records of equal keys go to one task, in the order of their other fields.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

import numpy as np

BYTES = 64 << 20  # of records that a task holds; sorting them needs three times as much
SAMPLES = 256  # keys of a run that say where ranges are cut
KEYS = 1 << 64  # there are so many

INDEX_BITS = 40  # of a place: below these stands the index of a document in its unit, above them the unit

Records = np.ndarray[Any, Any]


class Range(NamedTuple):
    """The keys from `low` up to `high`, which is not among them. before: how many records have smaller keys."""

    low: int
    high: int
    before: int = 0


def places(unit: int, indices: Any) -> Records:
    """(documents,) uint64: where each document stands."""
    return np.uint64(unit << INDEX_BITS) | np.asarray(indices, np.uint64)


def indices_of(where: Records) -> Records:
    """(documents,) uint64: the index of each in its unit."""
    return where & np.uint64((1 << INDEX_BITS) - 1)


def units_of(where: Records) -> Records:
    return where >> np.uint64(INDEX_BITS)


def of_unit(unit: int) -> Range:
    """The range of the places in a unit."""
    return Range(unit << INDEX_BITS, (unit + 1) << INDEX_BITS)


class RunWriter:
    """Writes records as runs `<name>-0000.npy`, ... into a folder. A context, at whose end the last is written."""

    def __init__(self, folder: Path, name: str, dtype: Any, most_bytes: int | None = None) -> None:
        self.folder, self.name, self.dtype = folder, name, np.dtype(dtype)
        self._most = max(1, (most_bytes or BYTES) // self.dtype.itemsize)
        self._waiting: list[Records] = []
        self._count, self._runs = 0, 0

    def add(self, records: Records) -> None:
        """records: (records,) of the dtype."""
        for start in range(0, len(records), self._most):
            part = records[start : start + self._most]
            if self._count + len(part) > self._most:
                self._write()
            self._waiting.append(part)
            self._count += len(part)

    def add_fields(self, **fields: Any) -> None:
        """One array, (records,), or one value for each field."""
        self.add(records_of(self.dtype, **fields))

    def _write(self) -> None:
        if self._count:
            np.save(self.folder / f"{self.name}-{self._runs:04d}.npy", sorted_records(np.concatenate(self._waiting)))
            self._runs += 1
            self._waiting, self._count = [], 0

    def __enter__(self) -> RunWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: BaseException | TracebackType | None) -> None:
        if kind is None:
            self._write()


@dataclass(frozen=True)
class Runs:
    """All runs of one name in the folders of map tasks."""

    paths: tuple[Path, ...]
    dtype: np.dtype[Any]

    @classmethod
    def of(cls, folders: Iterable[Path], name: str, dtype: Any) -> Runs:
        paths = [path for folder in folders for path in sorted(folder.glob(f"{name}-*.npy"))]
        return cls(tuple(paths), np.dtype(dtype))

    def ranges(self, most_bytes: int | None = None) -> list[Range]:
        """Ranges of all keys, each with about as many bytes of records; one at least."""
        keys, count = [], 0
        for path in self.paths:
            run = _mapped(path)
            keys.append(np.array(run[self._key][:: max(1, len(run) // SAMPLES)]))
            count += len(run)
        parts = -(-count * self.dtype.itemsize // (most_bytes or BYTES))
        sample = np.sort(np.concatenate(keys)) if keys else np.empty(0, np.uint64)
        cuts = sorted({int(sample[len(sample) * part // parts]) for part in range(1, parts)} - {0})
        lows = [0, *cuts]
        before = [0] * len(lows)
        for path in self.paths:
            run = _mapped(path)
            before = [total + _first(run, low) for total, low in zip(before, lows, strict=True)]
        return [Range(*values) for values in zip(lows, [*cuts, KEYS], before, strict=True)]

    def between(self, keys: Range) -> Records:
        """(records,): those with a key in a range, sorted by all fields."""
        found = []
        for path in self.paths:
            run = _mapped(path)
            start, end = _first(run, keys.low), _first(run, keys.high)
            if start < end:
                found.append(np.array(run[start:end]))
        return sorted_records(np.concatenate(found)) if found else np.empty(0, self.dtype)

    @property
    def _key(self) -> str:
        names = self.dtype.names
        assert names is not None
        return names[0]


def records_of(dtype: Any, **fields: Any) -> Records:
    """(records,) of a dtype, of one array, (records,), or one value for each field."""
    length = max(np.size(value) for value in fields.values()) if fields else 0
    if any(np.ndim(value) and not np.size(value) for value in fields.values()):
        length = 0
    records = np.empty(length, dtype)
    for name, value in fields.items():
        records[name] = value
    return records


def sorted_records(records: Records) -> Records:
    """By all fields, the first one first: records that come in another order come out the same."""
    names = records.dtype.names
    assert names is not None
    records = records[np.argsort(records[names[0]])]
    keys = records[names[0]]
    same = keys[1:] == keys[:-1]
    tied = np.zeros(len(records), bool)
    tied[1:] |= same
    tied[:-1] |= same
    if tied.any():
        rows = records[tied]
        records[tied] = rows[np.lexsort([rows[name] for name in reversed(names)])]
    return records


def unique_records(records: Records) -> Records:
    """Each once, sorted by all fields."""
    assert records.dtype.names is not None
    records = sorted_records(records)
    return records[groups(records, *records.dtype.names)[0]]


def groups(records: Records, *names: str) -> tuple[Records, Records]:
    """(groups,) int64 twice: where each run of records with the same values in some fields begins, and its length."""
    if not len(records):
        return np.empty(0, np.int64), np.empty(0, np.int64)
    new = np.zeros(len(records), bool)
    new[0] = True
    for name in names:
        new[1:] |= records[name][1:] != records[name][:-1]
    starts = np.flatnonzero(new)
    return starts, np.diff(np.append(starts, len(records)))


def by_index(records: Records) -> dict[int, Records]:
    """Of records of one unit, sorted by their field `place`: those of each document, by its index."""
    starts, lengths = groups(records, "place")
    indices = indices_of(records["place"][starts])
    return {
        index: records[start : start + length]
        for index, start, length in zip(indices.tolist(), starts.tolist(), lengths.tolist(), strict=True)
    }


def _mapped(path: Path) -> Records:
    mapped: Records = np.load(path, mmap_mode="r")
    return mapped


def _first(run: Records, key: int) -> int:
    """Of the first record with at least this key: its number."""
    assert run.dtype.names is not None
    keys = run[run.dtype.names[0]]
    return bisect_left(range(len(run)), key, key=lambda number: int(keys[number]))
