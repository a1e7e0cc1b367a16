"""Every document of a corpus under a number, its rank: of several that are alike, the one with the smallest rank stays.

Ranks follow from the documents alone, and not from the units or the order that they stand in.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, Literal

import numpy as np

from scratchgrad.tools.curation.corpus import Corpus, Documents
from scratchgrad.tools.curation.document import Document
from scratchgrad.tools.curation.shuffle import (
    Range,
    Records,
    Runs,
    RunWriter,
    groups,
    indices_of,
    of_unit,
    places,
    units_of,
)
from scratchgrad.tools.curation.stages import run_stage

Order = Literal["content", "url"]

# key: the level of the source's priority, and below it the first bits of the digest, which high and low hold whole
_DIGEST = np.dtype([("key", "<u8"), ("high", "<u8"), ("low", "<u8"), ("place", "<u8")])
_RANK = np.dtype([("place", "<u8"), ("rank", "<u8")])
_LEVEL_BITS = 16


@dataclass(frozen=True)
class Catalogue:
    """listed: of each unit the folder with the indices and ids of its documents. ranked: their places in order of rank,
    in parts that begin with the ranks `first`. priorities: the different ones, in order.
    """

    listed: tuple[Path, ...]
    ranked: tuple[Path, ...]
    first: tuple[int, ...]

    def __len__(self) -> int:
        """How many documents there are."""
        return sum(len(_load(folder / "indices.npy")) for folder in self.listed)

    def fingerprint(self) -> str:
        """Of the priorities and digests of all documents, in whatever units they stand."""
        digests, summed = Runs.of(self.listed, "digests", _DIGEST), hashlib.blake2b(digest_size=16)
        for keys in digests.ranges():
            records = digests.between(keys)
            for name in ("key", "high", "low"):
                summed.update(records[name].tobytes())
        return summed.hexdigest()

    def ranks(self, unit: int) -> Mapping[int, int]:
        """The rank of each document of a unit, by its index."""
        records = Runs.of(self.ranked, "ranks", _RANK).between(of_unit(unit))
        return dict(zip(indices_of(records["place"]).tolist(), records["rank"].tolist(), strict=True))

    def places(self, ranks: Any) -> Records:
        """(documents,) uint64: where those of these ranks stand, (documents,)."""
        ranks = np.asarray(ranks, np.int64)
        parts = np.searchsorted(self.first, ranks, side="right") - 1
        found = np.empty(len(ranks), np.uint64)
        for part in np.unique(parts).tolist():
            here = parts == part
            found[here] = _load(self.ranked[part] / "places.npy")[ranks[here] - self.first[part]]
        return found

    def sources(self, unit: int) -> dict[str, list[int]]:
        """Of each source the indices of its documents in a unit."""
        found: dict[str, list[int]] = json.loads((self.listed[unit] / "sources.json").read_text())
        return found

    def ids(self, ranks: Any) -> list[str]:
        """The ids of the documents of these ranks, (documents,)."""
        return ids_at(self.listed, self.places(ranks))


def ids_at(listed: tuple[Path, ...], where: Records) -> list[str]:
    """The ids of the documents at these places, (documents,); the files of a unit are read once for all of its own."""
    found = [""] * len(where)
    order = np.argsort(where, kind="stable")
    units, starts = np.unique(units_of(where[order]), return_index=True)
    for unit, rows in zip(units.tolist(), np.split(order, starts[1:]), strict=False):  # of none, one empty part
        state = (listed[unit] / "ids.bin").stat()
        indices, ends, text = _ids(listed[unit], state.st_ino, state.st_mtime_ns)
        documents = np.searchsorted(indices, indices_of(where[rows]))
        for row, start, end in zip(rows.tolist(), ends[documents].tolist(), ends[documents + 1].tolist(), strict=True):
            found[row] = text[start:end].decode("utf-8", "surrogatepass")
    return found


def make_catalogue(corpus: Corpus, order: Order = "content") -> Catalogue:
    """Ranks by (priority of the source, hash, id): the hash of the text, or MD5 of its URL, or else of its id."""
    levels = sorted({*corpus.priorities.values(), 0})
    listed = run_stage(
        corpus.pool, corpus.folder / "listed",
        partial(_list, corpus.documents, {name: levels.index(value) for name, value in corpus.priorities.items()},
                levels.index(0), DIGESTS[order]),
        range(corpus.documents.units),
    )  # fmt: skip
    runs = Runs.of(listed, "digests", _DIGEST)
    ranges = runs.ranges()
    ranked = run_stage(corpus.pool, corpus.folder / "ranked", partial(_rank, runs, tuple(listed)), ranges)
    return Catalogue(tuple(listed), tuple(ranked), tuple(keys.before for keys in ranges))


def url_digest(document: Document) -> bytes:
    """As of TFDS' remove_duplicate_text, which keeps a line at the URL with the smallest MD5: no site is preferred."""
    url = document.stated("url")
    name = url if isinstance(url, str) and url else document.id
    return hashlib.md5(name.encode("utf-8", "surrogatepass"), usedforsecurity=False).digest()


def _content_digest(document: Document) -> bytes:
    return document.content_hash


DIGESTS: Mapping[Order, Callable[[Document], bytes]] = {"content": _content_digest, "url": url_digest}


def _list(
    documents: Documents,
    levels: Mapping[str, int],
    usual: int,
    digest: Callable[[Document], bytes],
    unit: int,
    folder: Path,
) -> None:
    indices, ids, ends, chosen, digests = [], bytearray(), [0], [], bytearray()
    sources: dict[str, list[int]] = {}
    for index, document in documents.of_unit(unit):
        indices.append(index)
        ids += document.id.encode("utf-8", "surrogatepass")
        ends.append(len(ids))
        chosen.append(levels.get(document.source, usual))
        digests += digest(document)
        sources.setdefault(document.source, []).append(index)
    (folder / "ids.bin").write_bytes(ids)
    (folder / "sources.json").write_text(json.dumps(sources))
    np.save(folder / "ends.npy", np.array(ends, np.uint64))
    np.save(folder / "indices.npy", np.array(indices, np.uint64))
    halves = np.frombuffer(bytes(digests), ">u8").astype(np.uint64).reshape(-1, 2)
    with RunWriter(folder, "digests", _DIGEST) as runs:
        runs.add_fields(
            key=np.array(chosen, np.uint64) << np.uint64(64 - _LEVEL_BITS) | halves[:, 0] >> np.uint64(_LEVEL_BITS),
            high=halves[:, 0], low=halves[:, 1], place=places(unit, np.array(indices, np.uint64)),
        )  # fmt: skip


def _rank(runs: Runs, listed: tuple[Path, ...], keys: Range, folder: Path) -> None:
    records = runs.between(keys)
    where = records["place"].copy()
    starts, lengths = groups(records, "key", "high", "low")
    several = lengths > 1
    for start, length in zip(starts[several].tolist(), lengths[several].tolist(), strict=True):
        here = where[start : start + length]  # equal in all but their ids
        names = [name.encode("utf-8", "surrogatepass") for name in ids_at(listed, here)]
        where[start : start + length] = here[sorted(range(length), key=names.__getitem__)]
    np.save(folder / "places.npy", where)
    with RunWriter(folder, "ranks", _RANK) as ranks:
        ranks.add_fields(place=where, rank=np.arange(keys.before, keys.before + len(where), dtype=np.uint64))


@lru_cache(maxsize=512)
def _ids(folder: Path, inode: int, written: int) -> tuple[Records, Records, bytes]:
    text = (folder / "ids.bin").read_bytes()
    return np.load(folder / "indices.npy"), np.load(folder / "ends.npy"), text


def _load(path: Path) -> Records:
    loaded: Records = np.load(path, mmap_mode="r")
    return loaded
