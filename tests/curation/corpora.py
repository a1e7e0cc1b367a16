"""Corpora as a corpus step sees them, of documents that a test makes, and what the step made of them."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scratchgrad.tools.curation.corpus import Corpus, CorpusStep, Documents
from scratchgrad.tools.curation.decisions import FATES, KEPT
from scratchgrad.tools.curation.document import Document
from scratchgrad.tools.curation.pool import ProcessPool
from scratchgrad.tools.curation.shards import write_documents
from scratchgrad.tools.curation.verdicts import Verdict, read_verdicts


@dataclass(frozen=True)
class Outcome:
    """texts: of the documents that are left. verdicts: of those that are dropped or lose parts. Both by id."""

    texts: Mapping[str, str]
    verdicts: Mapping[str, Verdict]
    report: Mapping[str, Any]
    folder: Path


def corpus_of(folder: Path, units: Sequence[Iterable[Document]], priorities: Mapping[str, int] | None = None) -> Corpus:
    shards, fates = [], []
    for unit, documents in enumerate(units):
        shard, fate = folder / "shards" / str(unit), folder / "fates" / str(unit)
        shard.mkdir(parents=True)
        fate.mkdir(parents=True)
        own = list(documents)
        write_documents(shard, own)
        np.save(fate / FATES, np.full(len(own), KEPT, np.int16))
        shards.append(shard)
        fates.append(fate)
    work = folder / "step"
    work.mkdir(parents=True)
    return Corpus(Documents(tuple(shards), tuple(fates)), priorities or {}, 7, work, ProcessPool(1))


def outcome_of(step: CorpusStep, corpus: Corpus) -> Outcome:
    """What the step leaves of a corpus, as the next one sees it."""
    step.run(corpus)
    parts = tuple(sorted((corpus.folder / "verdicts").iterdir()))
    before, documents = corpus.documents, corpus.documents
    after = Documents(documents.shards, documents.fates, (*documents.verdicts, parts))
    verdicts = {}
    for unit in range(documents.units):
        by_index = {verdict.index: verdict for verdict in read_verdicts(parts[unit])}
        verdicts |= {document.id: by_index.pop(i) for i, document in before.of_unit(unit) if i in by_index}
        assert not by_index, "a verdict on a document that is not there"
    texts = {document.id: document.text for unit in range(after.units) for _, document in after.of_unit(unit)}
    return Outcome(texts, verdicts, json.loads((corpus.folder / "report.json").read_text()), corpus.folder)


def documents_of(texts: Iterable[str], source: str = "web", prefix: str = "a.jsonl") -> list[Document]:
    return [Document(f"{prefix}:{number}", text, source) for number, text in enumerate(texts)]


def split_into(documents: Sequence[Document], units: int) -> list[list[Document]]:
    return [list(documents[unit::units]) for unit in range(units)]


def json_rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()]


@pytest.fixture(scope="module", autouse=True)
def unsynced() -> Iterator[None]:
    """What is written by tests need not survive a power cut, and to sync it takes most of their time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("scratchgrad.files.atomic.os.fsync", lambda file: None)
        yield
