"""Documents that have the items of benchmarks in them: a model that has read the answers is not measured by them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from scratchgrad.errors import UserError, shortened
from scratchgrad.files import write_json
from scratchgrad.tools.curation.benchmark_ngrams import BenchmarkNgrams, read_ngrams, text_between, write_ngrams
from scratchgrad.tools.curation.benchmarks import Item, benchmark_files, read_items
from scratchgrad.tools.curation.corpus import Corpus, CorpusStep, Documents, in_batches
from scratchgrad.tools.curation.duplicates import warn
from scratchgrad.tools.curation.hashes import text_hash
from scratchgrad.tools.curation.stages import run_stage
from scratchgrad.tools.curation.verdicts import Verdict, write_verdicts
from scratchgrad.tools.recipes import Count, Fraction, Globs

REASON = "an item of a benchmark"
BATCH = 1 << 21  # characters of documents that are looked through at once
SHOWN = 300  # characters of what was found
MATCHES = "matches.jsonl"
SAMPLES = 200  # documents in the report
ITEMS = 10_000  # items in the report


class Decontaminate(CorpusStep):
    """A document is dropped that has at least the share `overlap` of the n-grams of one item.

    N-grams are of words without case and punctuation, over question and answer together; of a question with choices,
    over the question with the right one, and over the question with all of them. Those that more than `common` items
    have are templates, such as the instructions of a task, and do not count. When more than the share `most_dropped` of
    all documents would go, none goes, and that is said.
    """

    source: ClassVar[str] = (
        "13-grams without case and punctuation: Brown et al. 2020, arXiv 2005.14165, appendix C, and lm-eval's "
        "janitor.py; the share of an item's n-grams as in Llama 2's appendix A.6, by items instead of tokens; back-off "
        "above 0.1 % of documents: Dolma"
    )

    files: Globs = Field([], description="globs of the benchmarks' files: .jsonl .json .csv .tsv, all also as .gz")
    fields: list[str] = Field([], description="fields to read of each record, instead of those that are known")
    n: Count = Field(13, description="words of an n-gram")
    shortest: Count = Field(
        8, description="an item of fewer than n words, but so many, is one n-gram; a shorter one, none"
    )
    common: Count = Field(10, description="an n-gram that more items than this have is a template")
    overlap: float = Field(
        0.3, gt=0, le=1, description="the share of an item's n-grams from which on a document is dropped"
    )
    most_dropped: Fraction = Field(0.001, description="nothing is dropped where more than this share would be")
    always: bool = Field(False, description="drop also where more than most_dropped would go")

    def paths(self) -> list[str]:
        return [path.as_posix() for path in benchmark_files(self.files)] if self.files else []

    def run(self, corpus: Corpus) -> None:
        if not self.files:
            raise UserError("decontaminate needs the benchmarks: decontaminate.files='[path/*.jsonl]'")
        items = read_items(self.files, self.fields)
        (built,) = run_stage(corpus.pool, corpus.folder / "benchmarks", self._build, [items])
        ngrams = read_ngrams(built)
        _check(items, ngrams)
        units = range(corpus.documents.units)
        found = run_stage(
            corpus.pool, corpus.folder / "found", partial(_find, corpus.documents, built, self.overlap), units
        )  # fmt: skip
        counts = [json.loads((part / "counts.json").read_text()) for part in found]
        documents, matched = (sum(count[name] for count in counts) for name in ("documents", "matched"))
        backs_off = matched > self.most_dropped * documents and not self.always
        decide = partial(_decide, tuple(found), backs_off, [name for name, _ in ngrams.names])
        run_stage(corpus.pool, corpus.folder / "verdicts", decide, units)
        warnings = []
        if backs_off:
            warnings.append(
                f"{matched:,} of {documents:,} documents have an item of a benchmark, more than the share "
                f"{self.most_dropped:g}: none is dropped. Look at report.json, then set decontaminate.always=true, or "
                "raise most_dropped or overlap"
            )
        report = {
            "documents": documents,
            "matched": matched,
            "dropped": 0 if backs_off else matched,
            "backed_off": backs_off,
            "template_ngrams": ngrams.templates,
            **self._of_items(found, ngrams),
            "matches": _sample(found, ngrams, corpus.seed),
            "warnings": warnings,
        }
        write_json(corpus.folder / "report.json", report)
        warn(self.name, warnings)

    def _build(self, items: Sequence[Item], folder: Path) -> None:
        write_ngrams(items, self.n, min(self.shortest, self.n), self.common, folder)

    def _of_items(self, found: Sequence[Path], ngrams: BenchmarkNgrams) -> dict[str, Any]:
        best = np.zeros(len(ngrams.names))
        documents = Counter[int]()
        for part in found:
            for item, overlap, count in json.loads((part / "items.json").read_text()):
                best[item] = max(best[item], overlap)
                documents[item] += count
        benchmarks: dict[str, dict[str, int]] = {}
        checked = ngrams.checked
        for item, (_, file) in enumerate(ngrams.names):
            kinds = benchmarks.setdefault(file, dict.fromkeys(
                ("items", "too_short", "only_templates", "clean", "below_overlap", "contaminated"), 0
            ))  # fmt: skip
            kinds["items"] += 1
            if not ngrams.readable[item]:
                kinds["too_short"] += 1
            elif not checked[item]:
                kinds["only_templates"] += 1
            elif not best[item]:
                kinds["clean"] += 1
            else:
                kinds["contaminated" if best[item] >= self.overlap else "below_overlap"] += 1
        order = sorted(np.flatnonzero(best).tolist(), key=lambda item: (-best[item], item))[:ITEMS]
        return {
            "benchmarks": benchmarks,
            "items": [
                {"item": ngrams.names[item][0], "overlap": best[item], "documents": documents[item]} for item in order
            ],
        }


def _check(items: Sequence[Item], ngrams: BenchmarkNgrams) -> None:
    """UserError for a file none of whose items is long enough to be looked for."""
    files = dict.fromkeys(item.file for item in items)
    readable = {items[number].file for number in np.flatnonzero(ngrams.readable).tolist()}
    for file in files:
        if file not in readable:
            raise UserError(f"'{file}' has no item of enough words to be looked for: lower decontaminate.shortest")


def _find(documents: Documents, built: Path, overlap: float, unit: int, folder: Path) -> None:
    ngrams = read_ngrams(built)
    best: dict[int, float] = {}
    counts = Counter[int]()
    count = matched = 0
    with (folder / MATCHES).open("w") as file:
        for indices, batch in in_batches(documents.of_unit(unit), BATCH):
            count += len(batch)
            for row, (first, keys) in ngrams.hits([document.text for document in batch]).items():
                matches = ngrams.matches(keys, first)
                for match in matches:
                    best[match.item] = max(best.get(match.item, 0.0), match.overlap)
                    counts[match.item] += match.overlap >= overlap
                most = matches[0]
                if most.overlap >= overlap:
                    matched += 1
                    text = text_between(batch[row].text, most.start, most.end)
                    file.write(
                        json.dumps([indices[row], batch[row].id, most.item, most.overlap, shortened(text, SHOWN)])
                        + "\n"
                    )
    (folder / "items.json").write_text(json.dumps([[item, best[item], counts[item]] for item in sorted(best)]))
    (folder / "counts.json").write_text(json.dumps({"documents": count, "matched": matched}))


def _decide(found: tuple[Path, ...], backs_off: bool, names: list[str], unit: int, folder: Path) -> None:
    """The verdicts of a unit; and in a file beside them what was found, also where nothing is dropped."""
    matches = list(_matches(found[unit]))
    verdicts = [Verdict(index, REASON, overlap, names[item]) for index, _, item, overlap, _ in matches]
    write_verdicts(folder, () if backs_off else verdicts)
    with (folder / MATCHES).open("w") as file:
        for _, id, item, overlap, text in matches:
            file.write(json.dumps(_told(id, names[item], overlap, text)) + "\n")


def _matches(part: Path) -> Iterator[Any]:
    with (part / MATCHES).open() as file:
        yield from map(json.loads, file)


def _told(id: str, item: str, overlap: float, text: str) -> dict[str, Any]:
    return {"document": id, "item": item, "overlap": overlap, "text": text}


def _sample(found: Sequence[Path], ngrams: BenchmarkNgrams, seed: int) -> list[dict[str, Any]]:
    rows = [
        (text_hash(f"{seed} {id}"), id, item, overlap, text)
        for part in found
        for _, id, item, overlap, text in _matches(part)
    ]
    return [_told(id, ngrams.names[item][0], overlap, text) for _, id, item, overlap, text in sorted(rows)[:SAMPLES]]
