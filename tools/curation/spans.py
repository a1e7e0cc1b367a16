"""Parts of documents that stand in several places: each is kept at one, and cut out of the others."""

from __future__ import annotations

from abc import abstractmethod
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
from pydantic import Field

from scratchgrad.files import read_json, write_json
from scratchgrad.tools.curation.catalogue import Catalogue, make_catalogue
from scratchgrad.tools.curation.corpus import Corpus, CorpusStep, Documents
from scratchgrad.tools.curation.document import Document
from scratchgrad.tools.curation.duplicates import removed_by_source, run_verdicts
from scratchgrad.tools.curation.hashes import Values, hashed_words, ngrams, text_hash
from scratchgrad.tools.curation.shuffle import (
    Range,
    Records,
    Runs,
    RunWriter,
    by_index,
    groups,
    of_unit,
)
from scratchgrad.tools.curation.stages import run_stage
from scratchgrad.tools.curation.verdicts import Verdict, read_verdicts, without_spans
from scratchgrad.tools.recipes import Count

# A part by its hash: of which document, by its rank, and which of the document's parts it is.
PART = np.dtype([("key", "<u8"), ("rank", "<u8"), ("number", "<u4")])
# A part that is cut out, and the rank of the document that keeps it.
CUT = np.dtype([("place", "<u8"), ("number", "<u4"), ("kept", "<u8")])

NOBODY = np.uint64(2**64 - 1)  # keeps it
EXAMPLES = 20  # of parts that stand in most places

Spans = Sequence[tuple[int, int]]


class Parts(NamedTuple):
    """Of a text: its spans, in characters, what is looked for of them, and of which span each of these is.

    hashes: (parts,) uint64; 0 for what is not looked for. spans_of: (parts,) int64. A span that is looked for whole has
    one part, and one of which n-grams are looked for has several.
    """

    spans: Spans
    hashes: Values
    spans_of: Values


class SpanDedup(CorpusStep):
    """A span stays at the document with the smallest (priority of its source, MD5 of its URL or else of its id, id),
    where that has it first. A document of which nothing but white space is left is dropped.

    Spans are equal in lower case and without white space around them, by hashes of 64 bits. With `ngram`, one of at
    least so many words is cut out as well when most of its n-grams stand at an earlier place.
    """

    kind: ClassVar[str]

    characters: Count = Field(1, description="spans of fewer stay, wherever they stand")
    allowed: Count = Field(1, description="what stands in no more places than this stays in all of them")
    keep: Literal["one", "none"] = Field("one", description="one: what is repeated stays at one place; none: it goes")
    ngram: Count | None = Field(None, description="compare runs of so many words, in spans that have them; null: spans")
    stride: Count = Field(1, description="words from one n-gram to the next")
    overlap: float = Field(0.8, gt=0, le=1, description="the share of its n-grams from which on a span is cut out")

    @abstractmethod
    def spans(self, text: str) -> Spans:
        """Of a text, in order, with what parts each from the next one."""

    def run(self, corpus: Corpus) -> None:
        catalogue = make_catalogue(corpus, "url")
        units = range(corpus.documents.units)
        listed = run_stage(
            corpus.pool, corpus.folder / "parts", partial(_list, corpus.documents, catalogue, self), units
        )  # fmt: skip
        parts = Runs.of(listed, "parts", PART)
        found = run_stage(corpus.pool, corpus.folder / "found", partial(_find, parts, catalogue, self), parts.ranges())
        cuts = Runs.of(found, "cuts", CUT)
        run_verdicts(corpus, partial(_verdicts, corpus.documents, catalogue, self, cuts))
        write_report(corpus, catalogue, found)

    def parts(self, text: str) -> Parts:
        spans = self.spans(text)
        hashes = part_hashes((text[start:end] for start, end in spans), self.characters)
        if self.ngram is None:
            return Parts(spans, hashes, np.arange(len(spans)))
        words, starts = hashed_words(text[start:end] for start, end in spans)
        runs, first = ngrams(words, starts, self.ngram)
        all_hashes, spans_of = [], []
        for span, (whole, begin, end) in enumerate(
            zip(hashes.tolist(), first[:-1].tolist(), first[1:].tolist(), strict=True)
        ):
            has_ngrams = whole and starts[span + 1] - starts[span] >= self.ngram
            own = runs[begin : end : self.stride] if has_ngrams else np.array([whole], np.uint64)
            all_hashes.append(own)
            spans_of.append(np.full(len(own), span))
        return Parts(spans, np.concatenate(all_hashes), np.concatenate(spans_of))


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


def _list(documents: Documents, catalogue: Catalogue, step: SpanDedup, unit: int, folder: Path) -> None:
    ranks = catalogue.ranks(unit)
    with RunWriter(folder, "parts", PART) as parts:
        for index, document in documents.of_unit(unit):
            hashes = step.parts(document.text).hashes
            numbers = np.flatnonzero(hashes)
            parts.add_fields(key=hashes[numbers], rank=np.uint64(ranks[index]), number=numbers)


def _find(parts: Runs, catalogue: Catalogue, step: SpanDedup, keys: Range, folder: Path) -> None:
    records = parts.between(keys)
    starts, lengths = groups(records, "key")
    first = np.zeros(len(records), bool)
    first[starts] = True
    kept = np.repeat(records["rank"][starts], lengths)
    repeated = np.repeat(lengths > step.allowed, lengths)
    is_cut = repeated & ~first if step.keep == "one" else repeated
    with RunWriter(folder, "cuts", CUT) as cuts:
        cuts.add_fields(
            place=catalogue.places(records["rank"][is_cut]), number=records["number"][is_cut],
            kept=kept[is_cut] if step.keep == "one" else NOBODY,
        )  # fmt: skip
    write_json(folder / "counts.json", count_parts(records, starts, lengths, step.allowed, int(is_cut.sum())))


def count_parts(records: Records, starts: Values, lengths: Values, allowed: int, cut: int) -> dict[str, Any]:
    """most: of the parts in most places, how many these are, and the rank and the number of the first."""
    order = np.lexsort((records["rank"][starts], -lengths))[:EXAMPLES]
    most = [
        (int(lengths[i]), int(records["rank"][starts[i]]), int(records["number"][starts[i]]))
        for i in order.tolist()
        if lengths[i] > allowed
    ]
    return {"repeated": int((lengths > allowed).sum()), "cut": cut, "most": most}


def _verdicts(documents: Documents, catalogue: Catalogue, step: SpanDedup, cuts: Runs, unit: int) -> Iterator[Verdict]:
    records = cuts.between(of_unit(unit))
    own = by_index(records)
    names = partners(catalogue, records)
    for index, document in documents.of_unit(unit):
        if index in own:
            parts = step.parts(document.text)
            span = parts.spans_of[own[index]["number"]]
            cut = np.bincount(span, minlength=len(parts.spans))
            looked_for = np.bincount(parts.spans_of[parts.hashes != 0], minlength=len(parts.spans))
            gone = (cut > 0) & (cut >= step.overlap * looked_for)
            keepers = Counter[int]()
            for number, rank in zip(span.tolist(), own[index]["kept"].tolist(), strict=True):
                start, end = parts.spans[number]
                keepers[rank] += (end - start) * bool(gone[number])
            spans = [parts.spans[number] for number in np.flatnonzero(gone).tolist()]
            if spans:
                yield verdict_of(index, document, spans, keepers, names, f"{step.kind} of other documents")


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
