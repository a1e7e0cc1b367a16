"""A new part of an index of duplicates, made of the documents that a run has left."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from scratchgrad.tools.curation.catalogue import Catalogue
from scratchgrad.tools.curation.corpus import Documents
from scratchgrad.tools.curation.duplicate_index import BAND
from scratchgrad.tools.curation.near_duplicates import Signing
from scratchgrad.tools.curation.shingle_sets import ShingleSets, ShingleWriter
from scratchgrad.tools.curation.shuffle import Runs, RunWriter


def index_unit(signing: Signing, documents: Documents, catalogue: Catalogue, unit: int, folder: Path) -> None:
    """Of a unit: bands, sets of shingles and ids of its documents, by rank."""
    ranks = catalogue.ranks(unit)
    ids, ends, kept = bytearray(), [0], []
    with RunWriter(folder, "bands", BAND) as bands, ShingleWriter(folder) as sets:
        for indices, batch, shingles, starts in signing.hashed(documents.of_unit(unit)):
            numbers = np.array([ranks[index] for index in indices], np.uint64)
            filled, keys = signing.keys(shingles, starts)
            bands.add_fields(key=keys.ravel(), document=np.repeat(numbers[filled], signing.bands))
            for row, (number, document) in enumerate(zip(numbers.tolist(), batch, strict=True)):
                sets.add(number, np.unique(shingles[starts[row] : starts[row + 1]]))
                ids += document.id.encode("utf-8", "surrogatepass")
                ends.append(len(ids))
                kept.append(number)
    (folder / "ids.bin").write_bytes(ids)
    np.save(folder / "ids.npy", np.array(ends, np.int64))
    np.save(folder / "ranks.npy", np.array(kept, np.uint64))


def concatenate(units: Sequence[Path], folder: Path) -> int:
    """Put units together in one folder, their documents numbered from 0 in the order of ranks; how many there are."""
    folder.mkdir()
    of_unit = [np.load(unit / "ranks.npy") for unit in units]
    ranks = np.sort(np.concatenate([*of_unit, np.empty(0, np.uint64)]))
    where = np.concatenate([
        *(np.stack([np.full(len(own), number), np.arange(len(own))], axis=1) for number, own in enumerate(of_unit)),
        np.empty((0, 2), np.int64),
    ]).astype(np.int64)[np.argsort(np.concatenate([*of_unit, np.empty(0, np.uint64)]))]  # fmt: skip
    with RunWriter(folder, "bands", BAND) as bands:
        for unit in units:
            for path in Runs.of([unit], "bands", BAND).paths:
                records = np.load(path)
                records["document"] = np.searchsorted(ranks, records["document"])
                bands.add(records)
    sets = [ShingleSets(unit) for unit in units]
    texts = [((unit / "ids.bin").read_bytes(), np.load(unit / "ids.npy")) for unit in units]
    ends = [0]
    with ShingleWriter(folder) as whole, (folder / "ids.bin").open("wb") as ids:
        for number, (unit, row) in enumerate(where.tolist()):
            whole.add(number, sets[unit].of(int(ranks[number])))
            text, borders = texts[unit]
            ends.append(ends[-1] + ids.write(text[borders[row] : borders[row + 1]]))
    np.save(folder / "ids.npy", np.array(ends, np.int64))
    return len(ranks)
