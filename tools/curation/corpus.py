"""All documents that are still there, as a corpus step sees them: in units, which are read one document at a time."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from scratchgrad.tools.curation.document import Document
from scratchgrad.tools.curation.pool import Pool
from scratchgrad.tools.curation.shards import read_documents
from scratchgrad.tools.curation.verdicts import Verdict, read_verdicts, without_spans


@dataclass(frozen=True)
class Documents:
    """The documents of a document stage, less those that its rules and later corpus steps have dropped.

    shards: of each unit the folder with its documents. decisions: of each unit the folder that says which of them the
    rules drop. verdicts: of each corpus step that has run, of each unit, the folder of its verdicts.
    """

    shards: tuple[Path, ...]
    decisions: tuple[Path, ...]
    verdicts: tuple[tuple[Path, ...], ...] = ()

    def of_unit(self, unit: int) -> Iterator[tuple[int, Document]]:
        """Each document with its index in the unit, which it keeps from stage to stage, in order."""
        by_index: list[dict[int, Verdict]] = [
            {verdict.index: verdict for verdict in read_verdicts(parts[unit])} for parts in self.verdicts
        ]
        dropped = set(json.loads((self.decisions[unit] / "dropped.json").read_bytes()))
        for index, document in enumerate(read_documents(self.shards[unit])):
            if index in dropped:
                continue
            for verdicts in by_index:
                verdict = verdicts.get(index)
                if verdict is not None and not verdict.spans:
                    break
                if verdict is not None:
                    document = document.with_text(without_spans(document.text, verdict.spans))
            else:
                yield index, document

    @property
    def units(self) -> int:
        return len(self.shards)


@dataclass(frozen=True)
class Corpus:
    """What a corpus step is given.

    It writes its verdicts by a stage (`run_stage`) in `folder / "verdicts"`, with one part for each unit, in which
    `write_verdicts` stands last. Other stages of its own may stand beside; the whole folder is work, removed at the
    end, but for `folder / "report.json"`, which the report and the manifest show (clusters, their sizes, counts).
    priorities: of the sources; of equal documents that of the smallest (priority, content hash, id) stays.
    documents can go to other processes, the pool cannot.
    """

    documents: Documents
    priorities: Mapping[str, int]
    seed: int
    folder: Path
    pool: Pool
