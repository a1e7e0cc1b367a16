"""All but one of the documents that have nearly the same words in nearly the same order."""

from __future__ import annotations

import hashlib
import json
import shutil
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field

from scratchgrad.errors import UserError
from scratchgrad.files import read_json, write_json
from scratchgrad.tools.curation.catalogue import Catalogue, make_catalogue
from scratchgrad.tools.curation.corpus import Corpus, CorpusStep
from scratchgrad.tools.curation.duplicate_index import (
    BAND,
    DuplicateIndex,
    append_part,
    lock_index,
    open_index,
    parts_of,
    unlock_index,
)
from scratchgrad.tools.curation.duplicates import (
    REMOVED,
    alarms,
    put_together,
    removed_by_source,
    removed_of_unit,
    run_verdicts,
    warn,
)
from scratchgrad.tools.curation.index_part import concatenate, index_unit
from scratchgrad.tools.curation.near_duplicates import (
    PAIR,
    PLACE,
    Numbering,
    Sets,
    Signing,
    cluster,
    compare,
    pair,
    sign,
    store_shingles,
)
from scratchgrad.tools.curation.shuffle import Runs
from scratchgrad.tools.curation.stages import run_stage
from scratchgrad.tools.recipes import Count, Share

VIEW = "against.json"  # in the step's folder: the parts of the index that documents are compared with
HASHES = "words: letters and digits, NFKC, case folded, BLAKE2b-64; shingles: polynomial, SplitMix64; a x + b mod 2^64"


class MinhashDedup(CorpusStep):
    """Documents that agree in a band of their MinHash signatures are compared by the exact Jaccard similarity of their
    sets of shingles; those with at least `threshold` are joined. Of all that hang together, the document with the
    smallest (priority of its source, hash of its text, id) stays.

    A shingle is `n` words; a text of fewer is one shingle, and a text without words is nobody's duplicate. With 14
    bands of 8 rows, a pair of similarity .70, .75, .80, .85 is found with probability .56, .77, .92, .988. Below .70
    what bands find is mostly chance (.21 at .60), so that is where an edge begins to count.
    """

    source: ClassVar[str] = (
        "FineWeb (Penedo et al. 2024, arXiv 2406.17557, section 3.4): word 5-grams, 112 hashes, 14 bands of 8 rows, 64 "
        "bits; the check of each pair as in BigCode's near-deduplication"
    )

    n: Count = Field(5, description="words of a shingle")
    bands: Count = Field(14, description="bands of the signature; a pair that agrees in one is compared")
    rows: Count = Field(8, description="hashes of a band")
    threshold: Share = Field(0.7, description="the exact Jaccard similarity from which on two documents are joined")
    largest_bucket: Count = Field(
        64,
        description="documents that share a band and are all compared; of more, each with the first and the last one",
    )
    giant: Count = Field(1000, description="a warning names a cluster of more documents than this")
    alarm: Share = Field(0.5, description="a warning names a source that loses more than this share of its documents")
    index: str | None = Field(
        None, description="a folder of what was curated before: its duplicates go, and what is left is added at the end"
    )

    def run(self, corpus: Corpus) -> None:
        index = self._open_index(corpus.folder)
        pool, folder, documents = corpus.pool, corpus.folder, corpus.documents
        units = range(documents.units)
        catalogue = make_catalogue(corpus)
        numbering = Numbering(catalogue, index)
        signed = run_stage(pool, folder / "signed", partial(sign, self._signing, documents, numbering), units)
        bands = Runs.of(signed, "bands", BAND)
        ranges = Runs((*bands.paths, *index.runs()), BAND).ranges()
        paired = run_stage(pool, folder / "paired", partial(pair, bands, numbering, self.largest_bucket), ranges)
        wanted = Runs.of(paired, "wanted", PLACE)
        stored = run_stage(
            pool, folder / "stored", partial(store_shingles, self._signing, documents, wanted), units
        )  # fmt: skip
        pairs, sets = Runs.of(paired, "pairs", PAIR), Sets(tuple(stored), numbering)
        compared = run_stage(pool, folder / "compared", partial(compare, pairs, sets, self.threshold), pairs.ranges())
        clusters = run_stage(pool, folder / "clusters", partial(cluster, compared, sets, corpus.seed), [None])
        removed = Runs.of(clusters, "removed", REMOVED)
        run_verdicts(corpus, partial(removed_of_unit, removed, numbering.ids, self._reason))
        self._report(corpus, numbering, paired, compared, clusters[0])

    def finish(self, corpus: Corpus, report: Path) -> None:
        """Add the documents that are left to the index, once. UserError where another run has come in between."""
        if self.index is None:
            return
        folder, index, seen = corpus.folder, Path(self.index), read_json(report)["index"]
        lock_index(index)
        now = _runs(index)
        if seen["run"] not in now.values():
            if list(now) != seen["parts"]:
                raise UserError(
                    f"'{index}' has grown since documents were compared with it: curate again, with another --out"
                )
            catalogue = make_catalogue(corpus)
            indexed = run_stage(
                corpus.pool, folder / "indexed", partial(index_unit, self._signing, corpus.documents, catalogue),
                range(corpus.documents.units),
            )  # fmt: skip
            whole = folder / "part"
            shutil.rmtree(whole, ignore_errors=True)
            count = concatenate(indexed, whole)
            append_part(index, whole, count, self._parameters, seen["run"])
        unlock_index(index)

    @property
    def _signing(self) -> Signing:
        return Signing(self.n, self.bands, self.rows)

    @property
    def _parameters(self) -> dict[str, Any]:
        return {"n": self.n, "bands": self.bands, "rows": self.rows, "hashes": HASHES}

    def _reason(self, score: float) -> str:
        if score >= self.threshold:
            return "a near duplicate of another document"
        return "a near duplicate of near duplicates of another document"

    def _open_index(self, folder: Path) -> DuplicateIndex:
        """What documents are compared with; folder: of the step.

        If another run has added something since this one began, what this one has found out is thrown away.
        """
        if self.index is None:
            return DuplicateIndex()
        index, view = Path(self.index), folder / VIEW
        lock_index(index)
        parts = list(_runs(index))
        opened = open_index(index, self._parameters)
        if not view.exists() or read_json(view)["parts"] != parts:
            for path in folder.iterdir():
                shutil.rmtree(path) if path.is_dir() else path.unlink()
            write_json(view, {"parts": parts})
        return opened

    def _seen(self, catalogue: Catalogue) -> dict[str, Any] | None:
        """The parts that documents were compared with, and by what the part that this run adds is known."""
        if self.index is None:
            return None
        runs = _runs(Path(self.index))
        own = hashlib.blake2b(json.dumps([runs, catalogue.fingerprint()]).encode(), digest_size=16).hexdigest()
        return {"parts": list(runs), "run": own}

    def _report(
        self, corpus: Corpus, numbering: Numbering, paired: list[Path], compared: list[Path], clusters: Path
    ) -> None:
        described = read_json(clusters / "groups.json")
        buckets = [read_json(part / "buckets.json") for part in paired]
        counts = [read_json(part / "counts.json") for part in compared]
        report = put_together([described], corpus.seed, numbering.ids)
        sources = removed_by_source(corpus, numbering.catalogue)
        giants = [group for group in report["largest"] if group["size"] > self.giant]
        warnings = [
            f"a cluster of {group['size']:,} documents, such as {group['kept']}, {', '.join(group['members'][:2])}"
            for group in giants
        ]
        large = sum(bucket["count"] for bucket in buckets)
        if large:
            warnings.append(
                f"{large:,} bands are shared by more than {self.largest_bucket} documents, which were not all compared"
            )
        warnings += alarms(sources, self.alarm)
        write_json(corpus.folder / "report.json", {
            "documents": len(numbering.catalogue),
            **report,
            "through_others": described["through"],
            "compared_pairs": sum(count["compared"] for count in counts),
            "joined_pairs": sum(count["verified"] for count in counts),
            "large_buckets": large,
            "largest_buckets": sorted((size for bucket in buckets for size in bucket["large"]), reverse=True)[:20],
            "index_documents": numbering.old,
            "index": self._seen(numbering.catalogue),
            "sources": sources,
            "warnings": warnings,
        })  # fmt: skip
        warn(self.name, warnings)


def _runs(index: Path) -> dict[str, str]:
    """Of each part of an index the run that has added it."""
    return {part.name: read_json(part / "part.json")["run"] for part in parts_of(index)}
