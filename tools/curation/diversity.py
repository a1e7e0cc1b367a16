"""How many kinds of text there are, before and after a step: the entropy of sources, sites, formats and languages."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from scratchgrad.files import read_json, write_json
from scratchgrad.tools.curation.corpus import Corpus, Documents
from scratchgrad.tools.curation.document import Document, size_of
from scratchgrad.tools.curation.domains import domain_of
from scratchgrad.tools.curation.hashes import text_hash
from scratchgrad.tools.curation.languages import language_of
from scratchgrad.tools.curation.shuffle import Runs, RunWriter, groups
from scratchgrad.tools.curation.stages import run_stage

# The number of a kind in the two highest bits and 62 bits of the value's hash; 1 for a document that stays.
VALUE = np.dtype([("key", "<u8"), ("kept", "<u8")])
_ENDING = re.compile(r"\.([A-Za-z]\w{0,9})(?:\.(?:gz|zst|bz2|xz))?(?:[:@#][^/]*)?$")


def format_of(id: str) -> str:
    """The ending of the file that a document is from, without that of its compression: `warc` of a.warc.gz@1024."""
    found = _ENDING.search(id)
    return found[1].lower() if found else "none"


KINDS: Mapping[str, Callable[[Document], str]] = {
    "sources": lambda document: document.source,
    "domains": domain_of,
    "formats": lambda document: format_of(document.id),
    "languages": language_of,
}


def entropies(corpus: Corpus, stays: Callable[[Document], bool]) -> dict[str, Any]:
    """`report`: of each kind the entropy of its values over documents in bits, before and after, and how many values
    there are; `kept`: of each source the documents and bytes that stay.

    stays: a `functools.partial` of a function of a module. Memory does not grow with the number of values.
    """
    parts = run_stage(
        corpus.pool, corpus.folder / "values", partial(_values, corpus.documents, stays), range(corpus.documents.units)
    )
    runs = Runs.of(parts, "values", VALUE)
    found = {(kind, when): Counter[int]() for kind in range(len(KINDS)) for when in ("before", "after")}
    for keys in runs.ranges():
        records = runs.between(keys)
        starts, lengths = groups(records, "key")
        kept = np.add.reduceat(records["kept"], starts).astype(np.int64) if len(starts) else np.empty(0, np.int64)
        kinds = records["key"][starts] >> np.uint64(62)
        for kind in range(len(KINDS)):
            of_kind = kinds == kind
            found[kind, "before"].update(lengths[of_kind].tolist())
            found[kind, "after"].update(kept[of_kind & (kept > 0)].tolist())
    sources: dict[str, Counter[str]] = {}
    for part in parts:
        for source, counts in read_json(part / "kept.json").items():
            sources.setdefault(source, Counter()).update(counts)
    report = {
        name: {
            "bits before": entropy(found[kind, "before"]), "bits after": entropy(found[kind, "after"]),
            "values before": found[kind, "before"].total(), "values after": found[kind, "after"].total(),
        }
        for kind, name in enumerate(KINDS)
    }  # fmt: skip
    return {"report": {"entropy": report}, "kept": sources}


def entropy(sizes: Mapping[int, int]) -> float:
    """In bits, of a distribution that is given by how many values occur so often: {times: values}."""
    total = sum(times * values for times, values in sizes.items())
    terms = (values * (times / total) * math.log2(total / times) for times, values in sorted(sizes.items()))
    return round(math.fsum(terms), 6) if total else 0.0


def _values(documents: Documents, stays: Callable[[Document], bool], unit: int, folder: Path) -> None:
    keys: list[int] = []
    kept: list[int] = []
    sources: dict[str, Counter[str]] = {}
    for _, document in documents.of_unit(unit):
        is_kept = stays(document)
        for kind, value in enumerate(KINDS.values()):
            keys.append(kind << 62 | int.from_bytes(text_hash(value(document)), "big") >> 2)
            kept.append(int(is_kept))
        if is_kept:
            own = {"documents": 1, "bytes": size_of(document.text)}
            sources.setdefault(document.source, Counter()).update(own)
    with RunWriter(folder, "values", VALUE) as runs:
        runs.add_fields(key=np.array(keys, np.uint64), kept=np.array(kept, np.uint64))
    write_json(folder / "kept.json", sources)
