"""What is left after a document stage and the corpus steps behind it, and the counts of what is not."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from scratchgrad.tools import tokenizer as tokenizers
from scratchgrad.tools.curation.corpus import Documents
from scratchgrad.tools.curation.decisions import KEPT, StepRule
from scratchgrad.tools.curation.document import size_of
from scratchgrad.tools.curation.document_stage import COUNTS
from scratchgrad.tools.curation.shards import DOCUMENTS, LineWriter
from scratchgrad.tools.tokenizer import Tokenizer


@dataclass(frozen=True)
class Survivors:
    """Called with the number of a unit and an empty folder, in which it leaves the documents that are kept and counts:
    of the documents, bytes and tokens that came, that each rule and each corpus step dropped, and that are kept.
    """

    documents: Documents
    rules: tuple[StepRule, ...]
    corpus_steps: tuple[str, ...]
    tokenizer: Path | None = None

    def __call__(self, unit: int, folder: Path) -> None:
        came, kept = Counter[str](), Counter[str]()
        by_rule = [Counter[str]() for _ in self.rules]
        by_step = {name: Counter[str]() for name in self.corpus_steps}
        with LineWriter(folder / DOCUMENTS) as writer:
            for traced in self.documents.traced(unit):
                size = self._size(traced.before.text)
                came.update(size)
                if traced.fate != KEPT:
                    by_rule[traced.fate].update(size)
                for number, (verdict, text) in traced.verdicts.items():
                    taken = by_step[self.corpus_steps[number]]
                    if verdict.spans:
                        taken["edited"] += 1
                        taken["bytes"] += sum(size_of(text[start:end]) for start, end in verdict.spans)
                    else:
                        taken.update(self._size(text))
                if traced.after is not None:
                    writer.append(traced.after.row())
                    kept.update(size if traced.after is traced.before else self._size(traced.after.text))
        counts = {"came": came, "rules": by_rule, "steps": by_step, "kept": kept}
        (folder / COUNTS).write_text(json.dumps(counts, sort_keys=True))

    def _size(self, text: str) -> dict[str, int]:
        size = {"documents": 1, "bytes": size_of(text)}
        return size if self._tokenizer is None else size | {"tokens": len(self._tokenizer.encode(text))}

    @cached_property
    def _tokenizer(self) -> Tokenizer | None:
        return None if self.tokenizer is None else tokenizers.load(self.tokenizer)
