"""How much of each source stays, by weights or a temperature; which documents, by a hash of the seed and the id."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from scratchgrad.errors import UserError, quoted
from scratchgrad.files import read_json, write_json
from scratchgrad.tools.curation.corpus import Corpus, CorpusStep, Documents
from scratchgrad.tools.curation.diversity import entropies
from scratchgrad.tools.curation.document import Document, size_of
from scratchgrad.tools.curation.duplicates import run_verdicts
from scratchgrad.tools.curation.shuffle import Runs, RunWriter
from scratchgrad.tools.curation.stages import run_stage
from scratchgrad.tools.curation.verdicts import Verdict
from scratchgrad.tools.recipes import Count, Positive

# The two halves of a document's hash, by which those of a source are taken one after another; the source; the size.
ORDER = np.dtype([("high", "<u8"), ("low", "<u8"), ("source", "<u8"), ("bytes", "<u8")])
REASON = "beyond the share of its source"
DIGITS = 6  # of a weight that is told

Cutoffs = Mapping[str, tuple[int, int]]  # of each source that loses documents, the first hash that does not stay


class Mixture(CorpusStep):
    """Of each source documents stay, in the order of their hashes, until its share of the bytes is reached.

    No document is doubled: where a source is smaller than its share, it stays whole, and the report tells how many
    epochs of it the mixture has, and the weights of `data.sources` with which a training recipe reads it so often.
    """

    source: ClassVar[str] = (
        "weights and epochs as in the Pile (Gao et al. 2020, table 1); temperature: shares of n^0.3 as for languages "
        "in Conneau et al. 2020 (XLM-R), section 3"
    )

    weights: dict[str, Positive] = Field({}, description="share of each source in the bytes: {web: 0.7, books: 0.3}")
    temperature: float | None = Field(
        None, ge=0, le=1, description="instead of weights: shares in proportion to bytes^temperature, as 0.3"
    )
    bytes: Count | None = Field(
        None, description="of text in all, epochs counted; by default as many as max_epochs allows"
    )
    max_epochs: float = Field(1.0, ge=1, le=100, description="how often the mixture may have a source at most")

    def run(self, corpus: Corpus) -> None:
        documents, seed = corpus.documents, corpus.seed
        measured = run_stage(
            corpus.pool, corpus.folder / "measured", partial(_measure, documents, seed), range(documents.units)
        )
        sizes: dict[str, Counter[str]] = {}
        for part in measured:
            for source, counts in read_json(part / "sources.json").items():
                sizes.setdefault(source, Counter()).update(counts)
        sizes = dict(sorted(sizes.items()))
        shares = self._shares({name: counts["bytes"] for name, counts in sizes.items()}, corpus.priorities)
        whole = self._whole({name: counts["bytes"] for name, counts in sizes.items()}, shares)
        wanted = {name: share * whole for name, share in shares.items()}
        cutoffs = _cutoffs(Runs.of(measured, "order", ORDER), sizes, wanted)
        run_verdicts(corpus, partial(_verdicts, documents, seed, cutoffs))
        told = entropies(corpus, partial(_stays, seed, cutoffs))
        kept: dict[str, Counter[str]] = told["kept"]
        write_json(corpus.folder / "report.json", _report(self, sizes, kept, shares, wanted) | told["report"])

    def _shares(self, sizes: Mapping[str, int], known: Mapping[str, int]) -> dict[str, Fraction]:
        """Of each source that has documents its share; they add up to 1."""
        if bool(self.weights) == (self.temperature is not None):
            raise UserError("the step mixture needs mixture.weights, a number for each source, or mixture.temperature")
        if self.temperature is not None:
            parts = {name: Fraction(max(size, 1) ** self.temperature) for name, size in sizes.items()}
        else:
            lacking = [name for name in sizes if name not in self.weights]
            unknown = [name for name in self.weights if known and name not in known and name not in sizes]
            if lacking or unknown:
                fault = f"says nothing of {quoted(lacking[0])}" if lacking else f"has no source {quoted(unknown[0])}"
                raise UserError(f"mixture.weights {fault}; the sources are {', '.join(sorted({*sizes, *known}))}")
            parts = {name: Fraction(str(self.weights[name])) for name in sizes}
        total = sum(parts.values())
        return {name: part / total for name, part in parts.items()}

    def _whole(self, sizes: Mapping[str, int], shares: Mapping[str, Fraction]) -> Fraction:
        """The bytes of the mixture, epochs counted."""
        if self.bytes is not None:
            return Fraction(self.bytes)
        limits = [size * Fraction(str(self.max_epochs)) / shares[name] for name, size in sizes.items() if size]
        return min(limits, default=Fraction(0))


def place_of(document: Document, seed: int) -> tuple[int, int]:
    """The two halves of a hash of 16 bytes of the seed and the id."""
    digest = hashlib.blake2b(
        document.id.encode("utf-8", "surrogatepass"), digest_size=16, key=seed.to_bytes(8, "big")
    ).digest()
    return int.from_bytes(digest[:8], "big"), int.from_bytes(digest[8:], "big")


def _number(source: str) -> int:
    return int.from_bytes(hashlib.blake2b(source.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big")


def _measure(documents: Documents, seed: int, unit: int, folder: Path) -> None:
    rows, sizes = [], dict[str, Counter[str]]()
    for _, document in documents.of_unit(unit):
        size = size_of(document.text)
        rows.append((*place_of(document, seed), _number(document.source), size))
        sizes.setdefault(document.source, Counter()).update({"documents": 1, "bytes": size})
    columns = np.array(rows, np.uint64).reshape(-1, 4)
    with RunWriter(folder, "order", ORDER) as runs:
        runs.add_fields(high=columns[:, 0], low=columns[:, 1], source=columns[:, 2], bytes=columns[:, 3])
    write_json(folder / "sources.json", sizes)


def _cutoffs(order: Runs, sizes: Mapping[str, Mapping[str, int]], wanted: Mapping[str, Fraction]) -> dict[str, Any]:
    """A source that is not larger than what is wanted of it has none."""
    open_ones = {name: 0 for name, counts in sizes.items() if wanted[name] < counts["bytes"]}
    found: dict[str, tuple[int, int]] = {}
    for keys in order.ranges() if open_ones else ():
        records = order.between(keys)
        for name in list(open_ones):
            own = records[records["source"] == np.uint64(_number(name))]
            ends = np.cumsum(own["bytes"].astype(np.int64)) + open_ones[name]
            # the first that begins at what is wanted or behind it: wanted <= end of the one before
            begins = np.concatenate([[open_ones[name]], ends])[: len(own)]
            first = int(np.searchsorted(begins, -(-wanted[name] // 1)))
            if first < len(own):
                found[name] = int(own["high"][first]), int(own["low"][first])
                del open_ones[name]
            elif len(ends):
                open_ones[name] = int(ends[-1])
    return found


def _stays(seed: int, cutoffs: Cutoffs, document: Document) -> bool:
    return document.source not in cutoffs or place_of(document, seed) < cutoffs[document.source]


def _verdicts(documents: Documents, seed: int, cutoffs: Cutoffs, unit: int) -> Iterator[Verdict]:
    for index, document in documents.of_unit(unit):
        if not _stays(seed, cutoffs, document):
            yield Verdict(index, REASON, place_of(document, seed)[0] / 2**64)


def _report(
    step: Mixture, sizes: Mapping[str, Mapping[str, int]], kept: Mapping[str, Mapping[str, int]],
    shares: Mapping[str, Fraction], wanted: Mapping[str, Fraction],
) -> dict[str, Any]:  # fmt: skip
    nothing = {"documents": 0, "bytes": 0}
    epochs = {
        name: float(wanted[name] / counts["bytes"]) if counts["bytes"] and wanted[name] > counts["bytes"] else 1.0
        for name, counts in sizes.items()
    }
    warnings = [
        f"{name} is in the mixture {count:.3g} times, more than mixture.max_epochs = {step.max_epochs:g}"
        for name, count in epochs.items()
        if step.bytes is not None and count > step.max_epochs
    ]
    warnings += [f"{name} has a weight and no documents" for name in sorted(step.weights) if name not in sizes]
    return {
        "documents": sum(counts["documents"] for counts in sizes.values()),
        "removed": sum(counts["documents"] - kept.get(name, nothing)["documents"] for name, counts in sizes.items()),
        "bytes wanted": int(sum(wanted.values())),
        "warnings": warnings,
        "sources": {
            name: {
                "documents": counts["documents"], "bytes": counts["bytes"],
                "kept documents": kept.get(name, nothing)["documents"], "kept bytes": kept.get(name, nothing)["bytes"],
                "share wanted": round(float(shares[name]), DIGITS), "epochs": round(epochs[name], DIGITS),
            }
            for name, counts in sizes.items()
        },
        "data.sources of a training recipe": [
            {"source": "curated", "only": name, "weight": max(round(float(share), DIGITS), 10**-DIGITS)}
            for name, share in shares.items()
        ],
    }  # fmt: skip
