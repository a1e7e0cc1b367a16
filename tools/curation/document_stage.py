"""A document stage: each document by itself through edits and filters, which measure it and drop nothing.

What is dropped follows afterwards from what was measured (`decisions.py`), so that thresholds can be changed without
reading, editing and measuring again.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from scratchgrad.tools import tokenizer as tokenizers
from scratchgrad.tools.curation.attributes import OWN, AttributeWriter
from scratchgrad.tools.curation.batch import Batch
from scratchgrad.tools.curation.decisions import KEPT, fates_of, rules_of
from scratchgrad.tools.curation.document import Document, size_of
from scratchgrad.tools.curation.shards import DOCUMENTS, LineWriter
from scratchgrad.tools.curation.step import Edit, Filter, Step
from scratchgrad.tools.text import Skipped
from scratchgrad.tools.tokenizer import Tokenizer

BATCH_DOCUMENTS = 256
BATCH_CHARACTERS = 1 << 20
REMOVED, SKIPPED, COUNTS = "removed.jsonl.zst", "skipped.jsonl.zst", "counts.json"

Read = Callable[[Any, Callable[[Skipped], None]], Iterator[Document]]
OnRemoved = Callable[[Mapping[str, Any]], None]
Seconds = dict[str, float]


@dataclass(frozen=True)
class PartReport:
    """Of an item that was just done: its documents, those that the stage's rules keep, bytes, each step's seconds."""

    documents: int
    kept: int
    bytes: int
    seconds: Seconds


@dataclass(frozen=True)
class DocumentStage:
    """Called with an item and an empty folder, in which it leaves the item's documents after the edits, their
    attributes, what the edits removed, what could not be read, and counts. It returns a `PartReport`.

    read: gives the documents of an item, and hands on what cannot be read. tokenizer: of the tokens that are counted.
    """

    read: Read
    steps: tuple[Step, ...]
    tokenizer: Path | None = None

    def __call__(self, item: Any, folder: Path) -> PartReport:
        began, seconds = time.perf_counter(), dict.fromkeys((step.name for step in self.steps), 0.0)
        counts: Counter[str] = Counter()
        rules, kept = rules_of(self.steps), 0
        numbers, labels = self._columns()
        with (
            LineWriter(folder / DOCUMENTS) as documents,
            LineWriter(folder / REMOVED) as removed,
            LineWriter(folder / SKIPPED) as skipped,
            AttributeWriter(folder, numbers, labels, self.tokenizer is not None) as attributes,
        ):

            def skip(record: Skipped) -> None:
                skipped.append(asdict(record))
                counts["skipped"] += 1

            for batch in batches(self.read(item, skip)):
                counts["documents"] += len(batch)
                counts["bytes"] += sum(size_of(document.text) for document in batch)
                edited, columns = self._through(batch, removed.append, seconds)
                for document in edited:
                    documents.append(document.row())
                counts["bytes_after_edits"] += sum(columns["bytes"])
                kept += int((fates_of(rules, columns, len(batch)) == KEPT).sum())
                attributes.append(columns)
        (folder / COUNTS).write_text(json.dumps(counts, sort_keys=True))
        seconds["reading and writing"] = time.perf_counter() - began - sum(seconds.values())
        return PartReport(counts["documents"], kept, counts["bytes"], seconds)

    def _through(
        self, documents: Sequence[Document], removed: OnRemoved, seconds: Seconds
    ) -> tuple[Sequence[Document], dict[str, Any]]:
        edited, columns = through(self.steps, documents, removed, seconds)
        if self._tokenizer is not None:
            columns["tokens"] = [len(self._tokenizer.encode(document.text)) for document in edited]
        return edited, columns

    def _columns(self) -> tuple[list[str], list[str]]:
        """The names of what is measured, and of the labels: of no documents it is measured too."""
        none = Batch([])
        filters = [step for step in self.steps if isinstance(step, Filter)]
        labels = [f"{step.name}.{name}" for step in filters for name in step.label(none)]
        _, columns = self._through([], lambda row: None, dict.fromkeys((step.name for step in self.steps), 0.0))
        return [name for name in columns if name not in {*OWN, *labels}], labels

    @cached_property
    def _tokenizer(self) -> Tokenizer | None:
        return None if self.tokenizer is None else tokenizers.load(self.tokenizer)


def through(
    steps: Sequence[Step], documents: Sequence[Document], removed: OnRemoved = lambda row: None,
    seconds: Seconds | None = None,
) -> tuple[Sequence[Document], dict[str, Any]]:  # fmt: skip
    """The documents after all edits, and the columns of what was measured of them on the way.

    removed: hears of each part that an edit takes out. seconds: of each step, added to what stands there.
    """
    columns: dict[str, Any] = {}
    batch = Batch(documents)
    for step in steps:
        began = time.perf_counter()
        if isinstance(step, Filter):
            columns |= {f"{step.name}.{name}": values for name, values in step.measure(batch).items()}
            labels = step.label(batch)
            columns |= {f"{step.name}.{name}": values for name, values in labels.items()}
            if step.labels_documents:
                batch.add_labels(labels)
        elif isinstance(step, Edit):
            edits = [step.edit(document) for document in batch.documents]
            for edit in edits:
                for part in edit.removed:
                    removed({"id": edit.document.id, "step": step.name, **asdict(part)})
            for name in step.measures:
                values = [edit.measured.get(name, 0.0) for edit in edits]
                columns[f"{step.name}.{name}"] = np.array(values, np.float64)
            if any(new.document is not old for new, old in zip(edits, batch.documents, strict=True)):
                batch = Batch([edit.document for edit in edits])
        if seconds is not None:
            seconds[step.name] += time.perf_counter() - began
    columns["id"] = [document.id for document in batch.documents]
    columns["source"] = [document.source for document in batch.documents]
    columns["bytes"] = [size_of(text) for text in batch.texts]
    return batch.documents, columns


def batches(documents: Iterable[Document]) -> Iterator[list[Document]]:
    """As many at a time as are measured at once."""
    batch: list[Document] = []
    size = 0
    for document in documents:
        batch.append(document)
        size += len(document.text)
        if len(batch) == BATCH_DOCUMENTS or size >= BATCH_CHARACTERS:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch
