"""All but one of the documents with the same text, or with the same value in a field of their metadata."""

from __future__ import annotations

import hashlib
from functools import partial
from pathlib import Path
from typing import ClassVar

import numpy as np
import regex
from pydantic import Field

from scratchgrad.files import read_json, write_json
from scratchgrad.tools.curation.catalogue import Catalogue, make_catalogue
from scratchgrad.tools.curation.corpus import Corpus, CorpusStep, Documents
from scratchgrad.tools.curation.document import Document
from scratchgrad.tools.curation.duplicates import (
    REMOVED,
    describe,
    put_together,
    removed_by_source,
    removed_of_unit,
    run_verdicts,
)
from scratchgrad.tools.curation.shuffle import Range, Runs, RunWriter, groups, places
from scratchgrad.tools.curation.stages import run_stage

HASH = np.dtype([("high", "<u8"), ("low", "<u8"), ("rank", "<u8"), ("place", "<u8")])


class ExactDedup(CorpusStep):
    """Of a group the document with the smallest (priority of its source, hash of its text, id) stays.

    Texts are compared by BLAKE2b hashes of 16 bytes. A document without the field `key`, or with nothing in it, stands
    apart.
    """

    source: ClassVar[str] = "hashes of documents as in data-juicer's document_deduplicator and DataTrove's ExactDedup"

    normalise: bool = Field(
        False, description="compare texts without case, punctuation and white space; what is empty then, as it is"
    )
    key: str | None = Field(None, description="a field of the metadata to compare instead of the text: url, ...")

    def run(self, corpus: Corpus) -> None:
        catalogue = make_catalogue(corpus)
        hashed = run_stage(
            corpus.pool, corpus.folder / "hashed", partial(_hash, self, corpus.documents, catalogue),
            range(corpus.documents.units),
        )  # fmt: skip
        hashes = Runs.of(hashed, "hashes", HASH)
        found = run_stage(
            corpus.pool, corpus.folder / "found", partial(_find, hashes, corpus.seed), hashes.ranges()
        )  # fmt: skip
        reason = f"the same {self.key} as another document" if self.key else "the same text as another document"
        removed = Runs.of(found, "removed", REMOVED)
        run_verdicts(corpus, partial(removed_of_unit, removed, catalogue.ids, partial(_reason, reason)))
        report = put_together((read_json(part / "groups.json") for part in found), corpus.seed, catalogue.ids)
        write_json(
            corpus.folder / "report.json",
            {"documents": len(catalogue), **report, "sources": removed_by_source(corpus, catalogue)},
        )

    def digest(self, document: Document) -> bytes | None:
        """16 bytes that are equal for duplicates; None for a document that has none."""
        if self.key is None:
            text = document.text
            if self.normalise:
                text = normalised(text) or text
        elif document.stated(self.key) is None:
            return None
        else:
            text = str(document.stated(self.key))
        return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def normalised(text: str) -> str:
    """Lower case, without punctuation (the categories P of Unicode), one blank between words."""
    return " ".join(regex.sub(r"\p{P}+", " ", text.lower()).split())


def _reason(reason: str, score: float) -> str:
    return reason


def _hash(step: ExactDedup, documents: Documents, catalogue: Catalogue, unit: int, folder: Path) -> None:
    ranks = catalogue.ranks(unit)
    digests, rows = bytearray(), []
    for index, document in documents.of_unit(unit):
        digest = step.digest(document)
        if digest is not None:
            digests += digest
            rows.append((index, ranks[index]))
    halves = np.frombuffer(bytes(digests), ">u8").reshape(-1, 2)
    own = np.array(rows, np.uint64).reshape(-1, 2)
    with RunWriter(folder, "hashes", HASH) as hashes:
        hashes.add_fields(high=halves[:, 0], low=halves[:, 1], rank=own[:, 1], place=places(unit, own[:, 0]))


def _find(hashes: Runs, seed: int, keys: Range, folder: Path) -> None:
    records = hashes.between(keys)
    starts, lengths = groups(records, "high", "low")
    kept = np.repeat(records["rank"][starts], lengths)
    is_removed = np.ones(len(records), bool)
    is_removed[starts] = False
    with RunWriter(folder, "removed", REMOVED) as removed:
        removed.add_fields(place=records["place"][is_removed], kept=kept[is_removed], score=1.0)
    ranks = records["rank"][is_removed]
    write_json(folder / "groups.json", describe(ranks, kept[is_removed], np.ones(len(ranks)), seed))
