"""Parts of documents that stand in several places: each is kept at one, and cut out of the others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np

from scratchgrad.files import read_json, write_json
from scratchgrad.tools.curation.catalogue import Catalogue, make_catalogue
from scratchgrad.tools.curation.corpus import Corpus, Documents
from scratchgrad.tools.curation.document import Document
from scratchgrad.tools.curation.duplicates import removed_by_source, run_verdicts
from scratchgrad.tools.curation.hashes import Values, text_hash
from scratchgrad.tools.curation.shuffle import (
    Range,
    Records,
    Runs,
    RunWriter,
    groups,
    indices_of,
    of_unit,
)
from scratchgrad.tools.curation.stages import run_stage
from scratchgrad.tools.curation.verdicts import Verdict, read_verdicts, without_spans

# A part by its hash: of which document, by its rank, and which of the document's parts it is.
PART = np.dtype([("key", "<u8"), ("rank", "<u8"), ("number", "<u4")])
# A part that is cut out, and the rank of the document that keeps it.
CUT = np.dtype([("place", "<u8"), ("number", "<u4"), ("kept", "<u8")])

NOBODY = np.uint64(2**64 - 1)  # keeps it
EXAMPLES = 20  # of parts that stand in most places

Keep = Literal["one", "none"]
Spans = Sequence[tuple[int, int]]
Cutter = Callable[[str], tuple[Spans, Values]]  # of a text its parts, in characters, and their hashes, (parts,) uint64
"""A part of hash 0 is never cut out."""


def remove_repeated(corpus: Corpus, cut: Cutter, keep: Keep, allowed: int, reason: str) -> None:
    """Verdicts, and a report: parts that stand in more than `allowed` places are kept at one of them, or at none.

    That is the document with the smallest (priority of its source, MD5 of its URL or else of its id, id), where it
    stands first. A document of which nothing but white space is left is dropped.
    """
    catalogue = make_catalogue(corpus, "url")
    units = range(corpus.documents.units)
    listed = run_stage(corpus.pool, corpus.folder / "parts", partial(_list, corpus.documents, catalogue, cut), units)
    parts = Runs.of(listed, "parts", PART)
    found = run_stage(
        corpus.pool, corpus.folder / "found", partial(_find, parts, catalogue, keep, allowed), parts.ranges()
    )  # fmt: skip
    cuts = Runs.of(found, "cuts", CUT)
    run_verdicts(corpus, partial(_verdicts, corpus.documents, catalogue, cut, cuts, reason))
    write_report(corpus, catalogue, found)


def write_report(corpus: Corpus, catalogue: Catalogue, found: Sequence[Path]) -> None:
    counts = [read_json(part / "counts.json") for part in found]
    most = sorted((entry for count in counts for entry in count["most"]), key=lambda entry: (-entry[0], entry[1]))
    characters = dropped = edited = 0
    for folder in sorted((corpus.folder / "verdicts").iterdir()):
        for verdict in read_verdicts(folder):
            dropped += not verdict.spans
            edited += bool(verdict.spans)
            characters += sum(end - start for start, end in verdict.spans)
    names = catalogue.ids([rank for _, rank, _ in most[:EXAMPLES]])
    write_json(corpus.folder / "report.json", {
        "documents": len(catalogue),
        "repeated": sum(count["repeated"] for count in counts),
        "cut": sum(count["cut"] for count in counts),
        "dropped_documents": dropped,
        "edited_documents": edited,
        "characters_cut_from_edited": characters,
        "most_repeated": [
            {"places": places, "document": name, "part": number}
            for (places, _, number), name in zip(most[:EXAMPLES], names, strict=True)
        ],
        "sources": removed_by_source(corpus, catalogue),
    })  # fmt: skip


def part_hashes(parts: Iterable[str], least: int) -> Values:
    """(parts,) uint64, in lower case and without white space around them; 0 for parts shorter than `least`."""
    hashed = [
        text_hash(normalised) if len(normalised := part.strip().lower()) >= least else bytes(8) for part in parts
    ]  # fmt: skip
    return np.frombuffer(b"".join(hashed), "<u8")


def _list(documents: Documents, catalogue: Catalogue, cut: Cutter, unit: int, folder: Path) -> None:
    ranks = catalogue.ranks(unit)
    with RunWriter(folder, "parts", PART) as parts:
        for index, document in documents.of_unit(unit):
            _, keys = cut(document.text)
            numbers = np.flatnonzero(keys)
            parts.add_fields(key=keys[numbers], rank=np.uint64(ranks[index]), number=numbers)


def _find(parts: Runs, catalogue: Catalogue, keep: Keep, allowed: int, keys: Range, folder: Path) -> None:
    records = parts.between(keys)
    starts, lengths = groups(records, "key")
    first = np.zeros(len(records), bool)
    first[starts] = True
    kept = np.repeat(records["rank"][starts], lengths)
    repeated = np.repeat(lengths > allowed, lengths)
    is_cut = repeated & ~first if keep == "one" else repeated
    with RunWriter(folder, "cuts", CUT) as cuts:
        cuts.add_fields(
            place=catalogue.places(records["rank"][is_cut]), number=records["number"][is_cut],
            kept=kept[is_cut] if keep == "one" else NOBODY,
        )  # fmt: skip
    write_json(folder / "counts.json", count_parts(records, starts, lengths, allowed, int(is_cut.sum())))


def count_parts(records: Records, starts: Values, lengths: Values, allowed: int, cut: int) -> dict[str, Any]:
    """most: of the parts in most places, how many these are, and the rank and the number of the first."""
    order = np.lexsort((records["rank"][starts], -lengths))[:EXAMPLES]
    most = [
        (int(lengths[i]), int(records["rank"][starts[i]]), int(records["number"][starts[i]]))
        for i in order.tolist()
        if lengths[i] > allowed
    ]
    return {"repeated": int((lengths > allowed).sum()), "cut": cut, "most": most}


def _verdicts(
    documents: Documents, catalogue: Catalogue, cut: Cutter, cuts: Runs, reason: str, unit: int
) -> Iterator[Verdict]:
    records = cuts.between(of_unit(unit))
    starts, lengths = groups(records, "place")
    own = {
        index: records[start : start + length]
        for index, start, length in zip(
            indices_of(records["place"][starts]).tolist(), starts.tolist(), lengths.tolist(), strict=True
        )
    }
    names = partners(catalogue, records)
    for index, document in documents.of_unit(unit):
        if index in own:
            spans, _ = cut(document.text)
            removed = [spans[number] for number in own[index]["number"].tolist()]
            keepers = Counter[int]()
            for (start, end), rank in zip(removed, own[index]["kept"].tolist(), strict=True):
                keepers[rank] += end - start
            yield verdict_of(index, document, removed, keepers, names, reason)


def partners(catalogue: Catalogue, records: Records) -> dict[int, str]:
    """The ids of the documents that keep a part, by rank."""
    ranks = np.unique(records["kept"])
    ranks = ranks[ranks != NOBODY]
    return dict(zip(ranks.tolist(), catalogue.ids(ranks), strict=True))


def verdict_of(
    index: int, document: Document, spans: Spans, keepers: Mapping[int, int], names: Mapping[int, str], reason: str
) -> Verdict:
    """measured: the share of the characters that are cut out. partner: the document that keeps most of them."""
    merged = merge(spans)
    share = sum(end - start for start, end in merged) / len(document.text)
    partner = max(((size, names[rank]) for rank, size in keepers.items() if rank in names), default=(0, None))[1]
    if without_spans(document.text, merged).strip():
        return Verdict(index, reason, share, partner, tuple(merged))
    return Verdict(index, f"{reason}; nothing else is left", share, partner)


def merge(spans: Spans) -> list[tuple[int, int]]:
    """In order, those that touch or overlap as one."""
    merged: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged
