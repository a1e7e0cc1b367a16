"""All documents that are still there, as a corpus step sees them: in units, which are read one document at a time."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from scratchgrad.tools.curation.decisions import KEPT, read_fates
from scratchgrad.tools.curation.document import Document
from scratchgrad.tools.curation.pool import Pool
from scratchgrad.tools.curation.shards import read_documents
from scratchgrad.tools.curation.step import Step
from scratchgrad.tools.curation.verdicts import Verdict, read_verdicts, without_spans


@dataclass(frozen=True)
class Traced:
    """What became of a document since the document stage. fate: of its rules the number of that which drops it.

    verdicts: of corpus steps, by their number, up to the one that drops it, each with the text that it was given on.
    after: what is left of it, if it is kept.
    """

    index: int
    before: Document
    fate: int
    verdicts: Mapping[int, tuple[Verdict, str]]
    after: Document | None


@dataclass(frozen=True)
class Documents:
    """The documents of a document stage, less those that its rules and later corpus steps have dropped.

    shards: of each unit the folder with its documents. fates: of each unit the folder that says which of them the rules
    drop; without any, none is dropped. verdicts: of each corpus step that has run, of each unit, the folder of its
    verdicts.
    """

    shards: tuple[Path, ...]
    fates: tuple[Path, ...] = ()
    verdicts: tuple[tuple[Path, ...], ...] = ()

    @property
    def units(self) -> int:
        return len(self.shards)

    def of_unit(self, unit: int) -> Iterator[tuple[int, Document]]:
        """Each document that is left with its index in the unit, which it keeps from corpus step to corpus step."""
        return ((traced.index, traced.after) for traced in self.traced(unit) if traced.after is not None)

    def traced(self, unit: int) -> Iterator[Traced]:
        """Every document that came out of the document stage, in order."""
        by_step = [{verdict.index: verdict for verdict in read_verdicts(parts[unit])} for parts in self.verdicts]
        fates = read_fates(self.fates[unit]) if self.fates else None
        for index, document in enumerate(read_documents(self.shards[unit])):
            fate = KEPT if fates is None else int(fates[index])
            after: Document | None = document if fate == KEPT else None
            given: dict[int, tuple[Verdict, str]] = {}
            for number, verdicts in enumerate(by_step):
                if after is not None and (verdict := verdicts.get(index)) is not None:
                    given[number] = verdict, after.text
                    after = after.with_text(without_spans(after.text, verdict.spans)) if verdict.spans else None
            yield Traced(index, document, fate, given, after)

    def with_verdicts(self, folders: list[Path]) -> Documents:
        return replace(self, verdicts=(*self.verdicts, tuple(folders)))


def in_batches(
    documents: Iterable[tuple[int, Document]], characters: int
) -> Iterator[tuple[list[int], list[Document]]]:
    """Indices and documents, of which as many at a time as have this many characters; none is empty."""
    indices: list[int] = []
    batch: list[Document] = []
    size = 0
    for index, document in documents:
        indices.append(index)
        batch.append(document)
        size += len(document.text)
        if size >= characters:
            yield indices, batch
            indices, batch, size = [], [], 0
    if batch:
        yield indices, batch


@dataclass(frozen=True)
class Corpus:
    """What a corpus step is given.

    It writes its verdicts by a stage (`run_stage`) in `folder / "verdicts"`, with one part for each unit, in which
    `write_verdicts` stands last. Other stages of its own may stand beside; the whole folder is work, removed at the
    end, but for the verdicts and `folder / "report.json"`, which the report shows (clusters, their sizes, counts).
    priorities: of the sources; of equal documents that of the smallest (priority, content hash, id) stays.
    documents can go to other processes, the pool cannot.
    """

    documents: Documents
    priorities: Mapping[str, int]
    seed: int
    folder: Path
    pool: Pool


class CorpusStep(Step, ABC):
    """A step that looks at all documents together."""

    @abstractmethod
    def run(self, corpus: Corpus) -> None:
        """Give a verdict on each document that is to be dropped or loses a part: see `Corpus`."""

    def finish(self, corpus: Corpus, report: Path) -> None:
        """Keep what later runs need of the documents that are left, `corpus.documents`, at the end of all steps.

        report: what `run` has reported. It may be called again, where the run was killed before its own end.
        """
