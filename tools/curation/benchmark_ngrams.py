"""Which runs of words the items of benchmarks are made of, and which items a text has how much of."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from scratchgrad.files import read_json, write_json
from scratchgrad.tools.curation.benchmarks import Item
from scratchgrad.tools.curation.hashes import (
    Values,
    hashed_words,
    run_hashes,
    windows,
    word_hashes,
    word_key,
    word_spans,
)
from scratchgrad.tools.curation.shuffle import groups, unique_records

_NGRAM = np.dtype([("key", "<u8"), ("item", "<u4"), ("reading", "<u4")])
_FILTER_BITS = 24  # of a hash: a table of as many bits tells at once that most runs are of no item


class Match(NamedTuple):
    """An item of which a text has a share of the runs of words; where the longest row of them stands in its words."""

    item: int
    overlap: float
    start: int
    end: int


def write_ngrams(items: Sequence[Item], n: int, shortest: int, common: int, folder: Path) -> None:
    """Of each reading of an item its runs of n words; of one of fewer than n, but at least `shortest`, the whole.

    Runs that more than `common` items have are templates, and say nothing of an item.
    """
    words, starts = hashed_words([reading for item in items for reading in item.readings])
    owners = np.repeat(np.arange(len(items)), [len(item.readings) for item in items])
    counts = np.diff(starts)
    of_word = np.repeat(np.arange(len(counts)), counts)
    rows = []
    for length, run in windows(words, n):
        if length < shortest:
            continue
        first = np.arange(len(run))
        inside = first + length <= starts[1:][of_word[: len(run)]]
        if length < n:
            inside &= (counts[of_word[: len(run)]] == length) & (starts[of_word[: len(run)]] == first)
        found = np.empty(int(inside.sum()), _NGRAM)
        found["key"] = run_hashes(run[inside], length)
        found["reading"] = of_word[: len(run)][inside]
        found["item"] = owners[found["reading"]]
        rows.append(found)
    ngrams = unique_records(np.concatenate(rows)) if rows else np.empty(0, _NGRAM)
    in_items, _ = groups(ngrams, "key", "item")
    begin, spread = groups(ngrams[in_items], "key")
    lengths = np.diff(np.append(in_items[begin], len(ngrams)))
    template = np.repeat(spread > common, lengths)
    np.save(folder / "ngrams.npy", ngrams[~template])
    np.save(folder / "owners.npy", owners)
    np.save(folder / "widths.npy", np.minimum(counts, n))
    np.save(folder / "totals.npy", np.bincount(ngrams["reading"][~template], minlength=len(counts)))
    long_enough = counts >= shortest
    write_json(folder / "items.json", {
        "lengths": sorted({n, *counts[long_enough & (counts < n)].tolist()}),
        "templates": int((spread > common).sum()),
    })  # fmt: skip
    readable = np.zeros(len(items), bool)
    readable[owners[long_enough]] = True
    np.save(folder / "readable.npy", readable)
    with (folder / "names.json").open("w") as file:
        json.dump([[item.name, item.file] for item in items], file)


@dataclass(frozen=True)
class BenchmarkNgrams:
    """ngrams: sorted by hash. owners, widths, totals: of each reading the item, the words of a run, the number of runs.

    readable: whether each item has a text that is long enough; checked: and a run that is no template. lengths: of
    runs.
    """

    ngrams: Values
    owners: Values
    widths: Values
    totals: Values
    readable: Values
    lengths: tuple[int, ...]
    templates: int
    names: list[tuple[str, str]]
    keys: Values
    seen: Values

    @property
    def checked(self) -> Values:
        checked = np.zeros(len(self.names), bool)
        checked[self.owners[self.totals > 0]] = True
        return checked

    def hits(self, texts: Sequence[str]) -> dict[int, tuple[Values, Values]]:
        """Of each text that has any run of an item: where in its words such runs begin, and their hashes."""
        words, starts = hashed_words(texts)
        where, keys = [np.empty(0, np.int64)], [np.empty(0, np.uint64)]
        for length, run in windows(words, self.lengths[-1]):
            if length not in self.lengths:
                continue
            hashed = run_hashes(run, length)
            first = np.flatnonzero(self.seen[hashed >> np.uint64(64 - _FILTER_BITS)])
            row = np.searchsorted(self.keys, hashed[first])
            row[row == len(self.ngrams)] = 0
            first = first[self.keys[row] == hashed[first]] if len(self.ngrams) else first[:0]
            text = np.searchsorted(starts, first, side="right") - 1
            first = first[first + length <= starts[text + 1]]
            where.append(first)
            keys.append(hashed[first])
        first, found = np.concatenate(where), np.concatenate(keys)
        text = np.searchsorted(starts, first, side="right") - 1
        return {
            number: (first[text == number] - starts[number], found[text == number])
            for number in np.unique(text).tolist()
        }

    def matches(self, keys: Values, first: Values) -> list[Match]:
        """Of the runs in a text: the items that have any, those with most in common first, and of those the earliest.

        overlap: the share of an item's runs that the text has, of the reading of which this is most.
        """
        different = np.unique(keys)
        low = np.searchsorted(self.keys, different, side="left")
        high = np.searchsorted(self.keys, different, side="right")
        rows = np.concatenate([np.arange(*borders) for borders in zip(low.tolist(), high.tolist(), strict=True)])
        readings, counts = np.unique(self.ngrams["reading"][rows], return_counts=True)
        shares = counts / self.totals[readings]
        best: dict[int, tuple[float, int]] = {}
        for reading, share in zip(readings.tolist(), shares.tolist(), strict=True):
            item = int(self.owners[reading])
            best[item] = max(best.get(item, (0.0, -reading)), (share, -reading))
        ordered = sorted(best.items(), key=lambda entry: (-entry[1][0], entry[0]))
        of_reading = np.asarray(self.ngrams["reading"][rows])
        found = []
        for item, (share, reading) in ordered:
            begin, last = _longest(first[np.isin(keys, self.keys[rows[of_reading == -reading]])])
            found.append(Match(item, share, begin, last + int(self.widths[-reading])))
        return found


def text_between(text: str, first: int, last: int) -> str:
    """From the word `first` of a text up to the word `last`, which is not in it; words as they are hashed."""
    spans = word_spans(text)
    hashed = word_hashes([word_key(text[start:end]) for start, end in spans])
    spans = [span for span, value in zip(spans, hashed.tolist(), strict=True) if value]
    return text[spans[first][0] : spans[last - 1][1]]


def read_ngrams(folder: Path) -> BenchmarkNgrams:
    return _read(folder, folder.stat().st_ino)


@lru_cache(maxsize=2)
def _read(folder: Path, inode: int) -> BenchmarkNgrams:
    described = read_json(folder / "items.json")
    arrays = {name: np.load(folder / f"{name}.npy") for name in ("ngrams", "owners", "widths", "totals", "readable")}
    seen = np.zeros(1 << _FILTER_BITS, bool)
    keys = np.ascontiguousarray(arrays["ngrams"]["key"])
    seen[keys >> np.uint64(64 - _FILTER_BITS)] = True
    names: Any = json.loads((folder / "names.json").read_text())
    return BenchmarkNgrams(**arrays, lengths=tuple(described["lengths"]), templates=described["templates"],
                           names=[(name, file) for name, file in names], keys=keys, seen=seen)  # fmt: skip


def _longest(first: Values) -> tuple[int, int]:
    """The longest row of runs that begin one word after another: where the first and the last one begin."""
    first = np.unique(first)
    breaks = np.flatnonzero(np.diff(first) > 1) + 1
    starts = np.concatenate([[0], breaks])
    lengths = np.diff(np.append(starts, len(first)))
    row = int(np.argmax(lengths))
    return int(first[starts[row]]), int(first[starts[row] + lengths[row] - 1])
