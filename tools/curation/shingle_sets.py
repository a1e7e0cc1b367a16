"""The sets of hashed shingles of documents on disk, to compare any two of them exactly."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from scratchgrad.tools.curation.hashes import Values

ENTRY = np.dtype([("document", "<u8"), ("start", "<u8"), ("end", "<u8")])


class ShingleWriter:
    """Writes sets into `shingles.bin` and, at the end, `shingles.npy`: where each document's stands. A context."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._file = (folder / "shingles.bin").open("wb")
        self._entries: list[tuple[int, int, int]] = []
        self._written = 0

    def add(self, document: int, shingles: Values) -> None:
        """shingles: (shingles,) uint64, sorted, none twice. Documents may come in any order, each once."""
        shingles.astype("<u8", copy=False).tofile(self._file)
        self._entries.append((document, self._written, self._written + len(shingles)))
        self._written += len(shingles)

    def __enter__(self) -> ShingleWriter:
        return self

    def __exit__(self, *_: Any) -> None:
        self._file.close()
        np.save(self.folder / "shingles.npy", np.array(sorted(self._entries), ENTRY))


class ShingleSets:
    """What a `ShingleWriter` has written; nothing is read but the sets that are asked for."""

    def __init__(self, folder: Path) -> None:
        entries = np.load(folder / "shingles.npy")
        self._documents, self._starts, self._ends = (np.array(entries[name]) for name in ENTRY.names or ())
        self._path = (
            folder / "shingles.bin"
        )  # opened for each set: there may be more units than a process may open files

    def __len__(self) -> int:
        return len(self._documents)

    def of(self, document: int) -> Values:
        """(shingles,) uint64, sorted. KeyError where the document is not there."""
        row = int(np.searchsorted(self._documents, np.uint64(document)))
        if row == len(self._documents) or int(self._documents[row]) != document:
            raise KeyError(document)
        start, end = int(self._starts[row]), int(self._ends[row])
        return np.fromfile(self._path, "<u8", end - start, offset=start * 8)


def put_side_by_side(sets: Sequence[Values]) -> tuple[Values, Values]:
    """Several sets in one row, and where each begins: as `minhash.jaccard` takes them."""
    starts = np.concatenate([[0], np.cumsum([len(each) for each in sets], dtype=np.int64)]).astype(np.int64)
    return (np.concatenate(sets) if sets else np.empty(0, np.uint64)), starts
