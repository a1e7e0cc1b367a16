"""A curation from the first file to the manifest: stages in the order of the recipe, each in parts that are done once.

    OUT/recipe.yaml                       what it was made by
    OUT/documents/00000.jsonl.zst         what is left, a file for each unit of work
    OUT/stages/0-documents/...            every document as the rules saw it, with what was measured and removed
    OUT/stages/0-fates/...                which of the rules drops it
    OUT/stages/1-minhash_dedup/...        verdicts of a corpus step
    OUT/summary.json                      counts of everything, for the report
    OUT/manifest.json                     versions, inputs, sizes and sums of all files; written last

Nothing in it depends on the number of workers, on their order, or on how often the run was killed on its way.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from itertools import groupby
from pathlib import Path
from typing import Any

from scratchgrad.files import read_json, sha256_of, write_json, write_manifest
from scratchgrad.tools.curation.corpus import Corpus, CorpusStep, Documents
from scratchgrad.tools.curation.decisions import Decision, rules_of
from scratchgrad.tools.curation.document import Document
from scratchgrad.tools.curation.document_stage import DocumentStage
from scratchgrad.tools.curation.pool import Pool
from scratchgrad.tools.curation.recipe import Recipe
from scratchgrad.tools.curation.resuming import MANIFEST, WORK, compare_inputs, compare_recipe, locked
from scratchgrad.tools.curation.shards import DOCUMENTS, read_documents
from scratchgrad.tools.curation.stages import run_stage
from scratchgrad.tools.curation.step import Step
from scratchgrad.tools.curation.summary import summary_of_group
from scratchgrad.tools.curation.survivors import Survivors
from scratchgrad.tools.curation.units import Unit, units_of
from scratchgrad.tools.text import Skipped

STAGES, SUMMARY = "stages", "summary.json"
DOCUMENTS_FOLDER, VERDICTS, REPORT = "documents", "verdicts", "report.json"


class Watch:
    """Hears what the engine does. This one does not care; a command shows it."""

    def begin(self, stage: str, parts: int) -> None: ...

    def part(self, folder: Path, report: Any) -> None:
        """A part is done; of a document stage with a PartReport, and None where it was done before."""


def curate(recipe: Recipe, out: Path, pool: Pool, watch: Watch | None = None) -> dict[str, Any]:
    """Do what is not yet done of `recipe` in `out`; the summary.

    UserError where `out` holds another recipe's work, or is at work in another process, or its inputs have changed.
    """
    with locked(out) as work:
        compare_recipe(recipe, out)
        if (out / MANIFEST).exists():
            work.rmdir()
            return read_json(out / SUMMARY)
        if (out / SUMMARY).exists():  # all is done but for what follows it
            return _finish(recipe, out, read_json(out / SUMMARY))
        units = units_of(recipe)
        files = [(unit.name, path) for unit in units for path in unit.paths]
        files += [(step.name, Path(path)) for step in recipe.steps for path in step.paths()]
        inputs = compare_inputs(files, work / "inputs.json")
        run = _Run(recipe, out, work, pool, watch or Watch(), units)
        groups = run.all_groups()
        run.finish_steps()
        sums = pool.map(sha256_of, [path for _, path in files])
        described = [{**file, "sha256": sum_} for file, sum_ in zip(inputs, sums, strict=True)]
        write_json(out / SUMMARY, {"inputs": described, "groups": groups, "kept": groups[-1]["kept"]})
        return _finish(recipe, out, read_json(out / SUMMARY))


@dataclass
class _Run:
    recipe: Recipe
    out: Path
    work: Path
    pool: Pool
    watch: Watch
    units: list[Unit]

    def all_groups(self) -> list[dict[str, Any]]:
        """The summary of each document stage with the corpus steps behind it."""
        items: Sequence[Any] = self.units
        read: Any = partial(_read_unit, self.recipe.curate.largest_document)
        groups: list[dict[str, Any]] = []
        number = 0
        plan = list(_grouped(self.recipe.steps))
        for document_steps, corpus_steps in plan:
            left = self.out / DOCUMENTS_FOLDER if len(groups) == len(plan) - 1 else self.work / f"{number}-survivors"
            group, items = self._group(number, read, items, document_steps, corpus_steps, left)
            groups.append(group)
            read, number = _read_survivors, number + 2 + len(corpus_steps)
        return groups

    def finish_steps(self) -> None:
        """Corpus steps keep what they need of the documents that are left for the next run."""
        documents = Documents(tuple(self.out / DOCUMENTS_FOLDER / f"{unit:05d}" for unit in range(len(self.units))))
        for folder in sorted((self.out / STAGES).iterdir()):
            step = next((step for step in self.recipe.steps if folder.name.partition("-")[2] == step.name), None)
            if isinstance(step, CorpusStep):
                work = self.work / f"{folder.name}-end"
                work.mkdir(exist_ok=True)
                step.finish(self._corpus(documents, work), folder / REPORT)

    def _corpus(self, documents: Documents, work: Path) -> Corpus:
        sources = self.recipe.data.named_sources
        priorities = {source: described.priority for source, described in sources.items()}
        return Corpus(documents, priorities, self.recipe.curate.seed, work, self.pool)

    def _group(
        self, number: int, read: Any, items: Sequence[Any], steps: Sequence[Step], corpus_steps: Sequence[CorpusStep],
        folder: Path,
    ) -> tuple[dict[str, Any], Sequence[Path]]:  # fmt: skip
        """A document stage, the fates of its documents, the corpus steps behind it, and what is left, in `folder`."""
        recipe, rules, stages = self.recipe, tuple(rules_of(steps)), self.out / STAGES
        tokenizer = None if recipe.curate.tokenizer is None else Path(recipe.curate.tokenizer)
        shards = self._stage(stages / f"{number}-documents", DocumentStage(read, tuple(steps), tokenizer), items)
        fates = self._stage(stages / f"{number + 1}-fates", Decision(rules), shards)
        documents = Documents(tuple(shards), tuple(fates))
        for place, step in enumerate(corpus_steps, number + 2):
            documents = documents.with_verdicts(self._corpus_step(step, documents, f"{place}-{step.name}"))
        names = tuple(step.name for step in corpus_steps)
        left = self._stage(folder, Survivors(documents, rules, names, tokenizer), range(len(shards)))
        sources = [unit.name for unit in self.units]
        summary = summary_of_group(sources, [step.name for step in steps], rules, names, shards, left)
        return {"number": number, **summary}, left

    def _stage(self, folder: Path, work: Callable[[Any, Path], Any], items: Sequence[Any]) -> list[Path]:
        self.watch.begin(folder.name.rpartition("-")[2], len(items))
        return run_stage(self.pool, folder, work, items, self.watch.part)

    def _corpus_step(self, step: CorpusStep, documents: Documents, name: str) -> list[Path]:
        """The folders of its verdicts, once its work is removed."""
        folder, work, gone = self.out / STAGES / name, self.work / name, self.work / f"{name}-gone"
        if not folder.exists():
            self.watch.begin(step.name, documents.units)
            work.mkdir(exist_ok=True)
            step.run(self._corpus(documents, work))
            shutil.rmtree(gone, ignore_errors=True)
            gone.mkdir()
            for left in list(work.iterdir()):  # moved at once: a part that is half removed would be taken for whole
                if left.name not in (VERDICTS, REPORT):
                    left.rename(gone / left.name)
            work.rename(folder)
            shutil.rmtree(gone)
        return [folder / VERDICTS / f"{unit:05d}" for unit in range(documents.units)]


def _grouped(steps: Sequence[Step]) -> Iterator[tuple[list[Step], list[CorpusStep]]]:
    """Runs of document steps, each with the corpus steps behind it; the first may have no document step."""
    document_steps: list[Step] = []
    is_open = True
    for is_corpus, run in groupby(steps, lambda step: isinstance(step, CorpusStep)):
        if is_corpus:
            yield document_steps, [step for step in run if isinstance(step, CorpusStep)]
            document_steps, is_open = [], False
        else:
            document_steps, is_open = list(run), True
    if is_open:
        yield document_steps, []


def _read_unit(largest: int, unit: Unit, skipped: Callable[[Skipped], None]) -> Iterator[Document]:
    return unit.documents(largest, skipped)


def _read_survivors(folder: Path, skipped: Callable[[Skipped], None]) -> Iterator[Document]:
    return read_documents(folder)


def _finish(recipe: Recipe, out: Path, summary: dict[str, Any]) -> dict[str, Any]:
    """Remove what is not to stay; then everything is described by the manifest, which is written last."""
    if not recipe.curate.keep_dropped:
        for shard in (out / STAGES).glob(f"*-documents/*/{DOCUMENTS}"):
            shard.unlink()
    for left_behind in out.rglob(".tmp-*"):  # by workers that were killed
        shutil.rmtree(left_behind)
    shutil.rmtree(out / WORK)
    versions = {name: version(name) for name in ("scratchgrad", "zstandard", "pyarrow")}
    write_manifest(out, versions=versions, inputs=summary["inputs"])
    return summary
