"""An index on disk of what was curated before, against which new documents are matched.

A folder of numbered parts; each holds what one run has left: the keys of the bands of its documents, sorted, their
sets of shingles and their ids. A part is whole or not there, and never changes. Documents are counted from the first
part on.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import IO, Any

import numpy as np

from scratchgrad.errors import UserError
from scratchgrad.files import atomic_directory, read_json, write_json
from scratchgrad.tools.curation.hashes import Values
from scratchgrad.tools.curation.shingle_sets import ShingleSets
from scratchgrad.tools.curation.shuffle import Range, Records, Runs, sorted_records

BAND = np.dtype([("key", "<u8"), ("document", "<u8")])

_HELD: dict[Path, IO[bytes]] = {}  # locks of this process


@dataclass(frozen=True)
class DuplicateIndex:
    """first: the number of the first document of each part."""

    parts: tuple[Path, ...] = ()
    first: tuple[int, ...] = ()
    documents: int = 0

    def runs(self) -> tuple[Path, ...]:
        return Runs.of(self.parts, "bands", BAND).paths

    def bands(self, keys: Range) -> Records:
        """(records,) of BAND: those with a key in a range, sorted."""
        found = []
        for part, first in zip(self.parts, self.first, strict=True):
            records = Runs.of([part], "bands", BAND).between(keys)
            records["document"] += np.uint64(first)
            found.append(records)
        return sorted_records(np.concatenate(found)) if found else np.empty(0, BAND)

    def ids(self, numbers: Sequence[int]) -> list[str]:
        return [_ids(*place)[number] for place, number in map(self._place, numbers)]

    def shingles(self, number: int) -> Values:
        (folder, inode), local = self._place(number)
        return _sets(folder, inode).of(local)

    def _place(self, number: int) -> tuple[tuple[Path, int], int]:
        part = int(np.searchsorted(self.first, number, side="right")) - 1
        return (self.parts[part], self.parts[part].stat().st_ino), number - self.first[part]


def parts_of(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("part-*") if path.is_dir())


def open_index(folder: Path, parameters: Mapping[str, Any], names: Sequence[str] | None = None) -> DuplicateIndex:
    """The parts of an index, or those of these names. UserError: other parameters, or a damaged file."""
    parts, first, documents = [], [], 0
    for part in parts_of(folder):
        if names is not None and part.name not in names:
            continue
        described = read_json(part / "part.json")
        if described.get("parameters") != parameters:
            other = described.get("parameters") or {}
            differ = [
                f"{name} = {other.get(name)} there, {value} here"
                for name, value in parameters.items()
                if other.get(name) != value
            ]
            raise UserError(
                f"'{folder}' is an index of other settings ({'; '.join(differ)}): take these or another index"
            )
        for name, size in described["files"].items():
            if not (part / name).is_file() or (part / name).stat().st_size != size:
                raise UserError(f"'{part / name}' is not whole: the index is damaged; put the part back or remove it")
        parts.append(part)
        first.append(documents)
        documents += described["documents"]
    return DuplicateIndex(tuple(parts), tuple(first), documents)


def append_part(folder: Path, source: Path, documents: int, parameters: Mapping[str, Any], run: str) -> None:
    """Make the files in `source` the next part of an index. run: by which it is known again."""
    number = int(parts[-1].name.removeprefix("part-")) + 1 if (parts := parts_of(folder)) else 0
    with atomic_directory(folder / f"part-{number:05d}") as part:
        files = {}
        for path in sorted(source.iterdir()):
            shutil.copyfile(path, part / path.name)
            files[path.name] = path.stat().st_size
        write_json(part / "part.json", {"run": run, "documents": documents, "parameters": parameters, "files": files})


def lock_index(folder: Path) -> None:
    """Held by this process until `unlock_index`, or its end. UserError while another job holds it."""
    folder = folder.resolve()
    if folder in _HELD:
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / ".lock").open("wb")
    except OSError as error:
        raise UserError(f"'{folder}' cannot be written: {error.strerror}") from None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        raise UserError(f"'{folder}' is used by another job; wait for its end, or choose another index") from None
    _HELD[folder] = file


def unlock_index(folder: Path) -> None:
    if (file := _HELD.pop(folder.resolve(), None)) is not None:
        file.close()


@lru_cache(maxsize=16)
def _sets(part: Path, inode: int) -> ShingleSets:
    return ShingleSets(part)


@lru_cache(maxsize=16)
def _ids(part: Path, inode: int) -> _Ids:
    return _Ids(part)


class _Ids:
    def __init__(self, part: Path) -> None:
        self._ends = np.load(part / "ids.npy", mmap_mode="r")
        self._text = (part / "ids.bin").open("rb")

    def __getitem__(self, number: int) -> str:
        start, end = int(self._ends[number]), int(self._ends[number + 1])
        text = os.pread(self._text.fileno(), end - start, start)  # a position of their own would be shared after a fork
        return text.decode("utf-8", "surrogatepass")
