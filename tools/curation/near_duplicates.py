"""The stages between the texts of documents and the clusters of those that are nearly alike.

A document has a number: those in the index come first, then those of the corpus, in the order of their ranks. So the
smallest number of a cluster is the document that is kept, and the index always wins.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from scratchgrad.files import write_json
from scratchgrad.tools.curation.catalogue import Catalogue
from scratchgrad.tools.curation.components import components
from scratchgrad.tools.curation.corpus import Documents, in_batches
from scratchgrad.tools.curation.document import Document
from scratchgrad.tools.curation.duplicate_index import BAND, DuplicateIndex
from scratchgrad.tools.curation.duplicates import REMOVED, describe
from scratchgrad.tools.curation.hashes import Values, hashed_words, ngrams
from scratchgrad.tools.curation.minhash import band_keys, jaccard, signatures
from scratchgrad.tools.curation.shingle_sets import ShingleSets, ShingleWriter, put_side_by_side
from scratchgrad.tools.curation.shuffle import (
    Range,
    Records,
    Runs,
    RunWriter,
    groups,
    indices_of,
    of_unit,
    sorted_records,
    unique_records,
    units_of,
)

PAIR = np.dtype([("one", "<u8"), ("other", "<u8")])
PLACE = np.dtype([("place", "<u8")])
EDGE = np.dtype([("one", "<u8"), ("other", "<u8"), ("score", "<f8")])

BATCH = 1 << 21  # characters of documents that are hashed at once
PAIRS = 1 << 20  # that are made at once
SHINGLES = 1 << 21  # that are compared at once


@dataclass(frozen=True)
class Signing:
    """How documents are hashed. n: words of a shingle."""

    n: int
    bands: int
    rows: int

    def hashed(
        self, documents: Iterator[tuple[int, Document]]
    ) -> Iterator[tuple[list[int], list[Document], Values, Values]]:
        """Batches of documents: indices, documents, their shingles in one row, and where each one's begin."""
        for indices, batch in in_batches(documents, BATCH):
            yield indices, batch, *self.shingles([each.text for each in batch])

    def shingles(self, texts: Sequence[str]) -> tuple[Values, Values]:
        return ngrams(*hashed_words(texts), self.n)

    def keys(self, shingles: Values, starts: Values) -> tuple[Values, Values]:
        """Which texts have any shingle, (texts,) int64, and the keys of the bands of these, (texts, bands) uint64."""
        filled = np.flatnonzero(np.diff(starts))
        starts = np.append(starts[filled], starts[-1])
        return filled, band_keys(signatures(shingles, starts, self.bands * self.rows), self.bands)


@dataclass(frozen=True)
class Numbering:
    """The documents of an index and, behind them, those of a catalogue."""

    catalogue: Catalogue
    index: DuplicateIndex

    @property
    def old(self) -> int:
        return self.index.documents

    def ids(self, numbers: Sequence[int]) -> list[str]:
        new = iter(self.catalogue.ids([number - self.old for number in numbers if number >= self.old]))
        return [self.index.ids([number])[0] if number < self.old else next(new) for number in numbers]

    def places(self, numbers: Values) -> Records:
        return self.catalogue.places(numbers - np.uint64(self.old))


def sign(signing: Signing, documents: Documents, numbering: Numbering, unit: int, folder: Path) -> None:
    """Of a unit: the keys of the bands of all documents that have a word."""
    ranks = numbering.catalogue.ranks(unit)
    with RunWriter(folder, "bands", BAND) as runs:
        for indices, _, shingles, starts in signing.hashed(documents.of_unit(unit)):
            filled, keys = signing.keys(shingles, starts)
            numbers = np.array([ranks[indices[row]] + numbering.old for row in filled.tolist()], np.uint64)
            runs.add_fields(key=keys.ravel(), document=np.repeat(numbers, signing.bands))


def pair(new: Runs, numbering: Numbering, largest: int, keys: Range, folder: Path) -> None:
    """Of a range of keys: the pairs of documents that share one, and which documents of the corpus are in a pair.

    In a bucket of more than `largest` documents, each is compared with the first and with the one before it.
    """
    records = sorted_records(np.concatenate([new.between(keys), numbering.index.bands(keys)]))
    starts, lengths = groups(records, "key")
    documents = records["document"]
    wanted = (lengths > 1) & (documents[starts + lengths - 1] >= numbering.old)
    starts, lengths = starts[wanted], lengths[wanted]
    with RunWriter(folder, "pairs", PAIR) as pairs, RunWriter(folder, "wanted", PLACE) as of_corpus:
        for one, other in _pairs_of(documents, starts, lengths, largest):
            with_new = (other >= numbering.old) & (one != other)
            unique = unique_records(records_of_pairs(one[with_new], other[with_new]))
            pairs.add(unique)
            numbers = np.unique(np.concatenate([unique["one"], unique["other"]]))
            of_corpus.add_fields(place=numbering.places(numbers[numbers >= numbering.old]))
    write_json(
        folder / "buckets.json",
        {
            "large": sorted(lengths[lengths > largest].tolist(), reverse=True)[:20],
            "count": int((lengths > largest).sum()),
        },
    )


def store_shingles(signing: Signing, documents: Documents, wanted: Runs, unit: int, folder: Path) -> None:
    """Of a unit: the sets of shingles of the documents that are in a pair."""
    indices = set(indices_of(np.unique(wanted.between(of_unit(unit))["place"])).tolist())
    here = ((index, document) for index, document in documents.of_unit(unit) if index in indices)
    with ShingleWriter(folder) as sets:
        for batch, _, shingles, starts in signing.hashed(here if indices else iter(())):
            for row, index in enumerate(batch):
                sets.add(index, np.unique(shingles[starts[row] : starts[row + 1]]))


@dataclass(frozen=True)
class Sets:
    """The sets of shingles by number. stored: of each unit the folder of its sets."""

    stored: tuple[Path, ...]
    numbering: Numbering

    def reader(self, numbers: Values) -> Callable[[int], Values]:
        """A function that reads the set of one of these numbers, (numbers,)."""
        new = np.unique(numbers[numbers >= self.numbering.old])
        where = self.numbering.places(new)
        found = zip(units_of(where).tolist(), indices_of(where).tolist(), strict=True)
        place = dict(zip(new.tolist(), found, strict=True))

        def read(number: int) -> Values:
            if number < self.numbering.old:
                return self.numbering.index.shingles(number)
            unit, index = place[number]
            return _stored(self.stored[unit], self.stored[unit].stat().st_ino).of(index)

        return read


def compare(pairs: Runs, sets: Sets, threshold: float, keys: Range, folder: Path) -> None:
    """Of a range of pairs: those whose sets of shingles have at least this Jaccard similarity, with it."""
    unique = unique_records(pairs.between(keys))
    scores = similarities(unique["one"], unique["other"], sets)
    enough = scores >= threshold
    edges = np.empty(int(enough.sum()), EDGE)
    edges["one"], edges["other"], edges["score"] = unique["one"][enough], unique["other"][enough], scores[enough]
    np.save(folder / "edges.npy", edges)
    write_json(folder / "counts.json", {"compared": len(unique), "verified": len(edges)})


def similarities(one: Values, other: Values, sets: Sets) -> Values:
    """(pairs,) float64: the exact Jaccard similarity of pairs that are sorted by `one`."""
    scores = np.empty(len(one))
    for start in range(0, len(one), PAIRS):
        ones, others = one[start : start + PAIRS], other[start : start + PAIRS]
        read = sets.reader(np.concatenate([ones, others]))
        firsts, lengths = groups(records_of_pairs(ones, others), "one")
        for first, length in zip(firsts.tolist(), lengths.tolist(), strict=True):
            own = read(int(ones[first]))
            here, waiting, size = start + first, list[Values](), 0
            for number in others[first : first + length].tolist():
                waiting.append(read(number))
                size += len(waiting[-1])
                if size > SHINGLES:
                    scores[here : here + len(waiting)] = jaccard(own, *put_side_by_side(waiting))
                    here, waiting, size = here + len(waiting), [], 0
            scores[here : here + len(waiting)] = jaccard(own, *put_side_by_side(waiting))
    return scores


def cluster(edges: Sequence[Path], sets: Sets, seed: int, _: None, folder: Path) -> None:
    """All documents that hang together by edges become one: who is removed, for whom, and how alike the two are.

    Where they are alike only through others, the similarity of the two themselves is measured now.
    """
    joined = np.concatenate([np.load(path / "edges.npy") for path in edges]) if edges else np.empty(0, EDGE)
    nodes, kept = components(joined["one"], joined["other"])
    scores = np.full(len(nodes), np.nan)
    row = np.searchsorted(nodes, joined["other"])
    direct = kept[row] == joined["one"]
    scores[row[direct]] = joined["score"][direct]
    removed = np.flatnonzero((nodes != kept) & (nodes >= sets.numbering.old))
    removed = removed[np.lexsort((nodes[removed], kept[removed]))]
    nodes, kept, scores = nodes[removed], kept[removed], scores[removed]
    through = np.isnan(scores)
    scores[through] = similarities(kept[through], nodes[through], sets)
    with RunWriter(folder, "removed", REMOVED) as runs:
        runs.add_fields(place=sets.numbering.places(nodes), kept=kept, score=scores)
    described = describe(nodes, kept, scores, seed)
    write_json(folder / "groups.json", {**described, "through": int(through.sum())})


def records_of_pairs(one: Any, other: Any) -> Records:
    pairs = np.empty(len(one), PAIR)
    pairs["one"], pairs["other"] = one, other
    return pairs


def _pairs_of(documents: Values, starts: Values, lengths: Values, largest: int) -> Iterator[tuple[Values, Values]]:
    for length in np.unique(lengths).tolist():
        begin = starts[lengths == length]
        if length <= largest:
            left, right = np.triu_indices(length, 1)
        else:  # star, then chain
            left = np.concatenate([np.zeros(length - 1, np.int64), np.arange(length - 1)])
            right = np.concatenate([np.arange(1, length), np.arange(1, length)])
        step = max(1, PAIRS // len(left))
        for first in range(0, len(begin), step):
            bucket = begin[first : first + step, None]
            yield documents[bucket + left].ravel(), documents[bucket + right].ravel()


@lru_cache(maxsize=4096)
def _stored(folder: Path, inode: int) -> ShingleSets:
    return ShingleSets(folder)
