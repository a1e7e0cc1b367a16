"""Curates texts by one system, without files. Run as a program: curation_worker.py SYSTEM TASK TEXTS.json.

Its documents are read before the clock starts. One thread; a first pass over some of them warms caches up.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

WARM_UP = 20  # documents
FILTERS = ("c4_lines", "c4_page", "gopher_quality", "gopher_repetition", "fineweb_quality")

Texts = list[str]
Work = Callable[[Texts], int]


def our_filters() -> Work:
    """Edits lines, measures everything, and decides: how many documents are kept."""
    from scratchgrad.tools.curation.decisions import KEPT, fates_of, rules_of
    from scratchgrad.tools.curation.document import Document
    from scratchgrad.tools.curation.document_stage import batches, through
    from scratchgrad.tools.curation.step import step_class

    steps = [step_class(name)() for name in FILTERS]
    rules = rules_of(steps)

    def work(texts: Texts) -> int:
        documents = (Document(f"text:{number}", text, "bench") for number, text in enumerate(texts))
        kept = 0
        for batch in batches(documents):
            edited, columns = through(steps, batch)
            kept += int((fates_of(rules, columns, len(edited)) == KEPT).sum())
        return kept

    return work


def our_minhash() -> Work:
    from scratchgrad.tools.curation.document import Document
    from scratchgrad.tools.curation.near_duplicates import Signing
    from scratchgrad.tools.curation.step import step_class

    settings: Any = step_class("minhash_dedup")()
    signing = Signing(settings.n, settings.bands, settings.rows)

    def work(texts: Texts) -> int:
        signed = 0
        numbered = ((number, Document(f"text:{number}", text, "bench")) for number, text in enumerate(texts))
        for _, _, shingles, starts in signing.hashed(numbered):
            signed += len(signing.keys(shingles, starts)[1])
        return signed

    return work


def datatrove_filters() -> Work:
    from datatrove.data import Document
    from datatrove.pipeline.filters import (
        C4QualityFilter,
        FineWebQualityFilter,
        GopherQualityFilter,
        GopherRepetitionFilter,
    )

    chain = [
        C4QualityFilter(min_num_sentences=3, min_words_per_line=5), GopherQualityFilter(), GopherRepetitionFilter(),
        FineWebQualityFilter(char_duplicates_ratio=0.1),
    ]  # fmt: skip

    def keeps(document: Any) -> bool:
        return all(step.filter(document) is True for step in chain)

    return lambda texts: sum(keeps(Document(text, str(number))) for number, text in enumerate(texts))


def datatrove_minhash() -> Work:
    from datatrove.data import Document
    from datatrove.pipeline.dedup.minhash import MinhashConfig, MinhashDedupSignature

    signatures = MinhashDedupSignature("/tmp", MinhashConfig(n_grams=5, num_buckets=14, hashes_per_bucket=8))

    def signed(document: Any) -> bool:
        shingles = signatures.get_shingles(document.text)
        return shingles.size != 0 and bool(signatures.get_signature(shingles))

    return lambda texts: sum(signed(Document(text, str(number))) for number, text in enumerate(texts))


WORK: dict[tuple[str, str], Callable[[], Work]] = {
    ("scratchgrad", "filters"): our_filters,
    ("scratchgrad", "MinHash signatures"): our_minhash,
    ("datatrove", "filters"): datatrove_filters,
    ("datatrove", "MinHash signatures"): datatrove_minhash,
}


def main(system: str, task: str, path: Path) -> None:
    texts = json.loads(path.read_text())
    work = WORK[system, task]()
    work(texts[:WARM_UP])
    began = time.perf_counter()
    count = work(texts)
    print(json.dumps({"seconds": time.perf_counter() - began, "count": count}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
