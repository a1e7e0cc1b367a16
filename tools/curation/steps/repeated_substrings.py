"""Long runs of words that stand in several places are kept at one of them, wherever they begin and end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import ClassVar

import numpy as np
from pydantic import Field

from scratchgrad.files import write_json
from scratchgrad.tools.curation.catalogue import Catalogue, make_catalogue
from scratchgrad.tools.curation.corpus import Corpus, CorpusStep, Documents
from scratchgrad.tools.curation.duplicates import run_verdicts
from scratchgrad.tools.curation.hashes import Values, ngrams, word_hashes, word_spans, words_in
from scratchgrad.tools.curation.shuffle import Range, Runs, RunWriter, by_index, groups, of_unit
from scratchgrad.tools.curation.spans import CUT, PART, count_parts, partners, verdict_of, write_report
from scratchgrad.tools.curation.stages import run_stage
from scratchgrad.tools.curation.verdicts import Verdict
from scratchgrad.tools.recipes import Count

REASON = "runs of words of other documents"


class RepeatedSubstrings(CorpusStep):
    """Every run of `words` words that stands in several places is cut out of all but one: it stays at the document with
    the smallest (priority of its source, MD5 of its URL or else of its id, id), where it stands there first.

    Words are compared without case and punctuation, by 64-bit hashes. Each word of the corpus takes 20 bytes on disk.
    """

    source: ClassVar[str] = (
        "Lee et al. 2021, arXiv 2107.06499, section 4.1 (ExactSubstr): repeats of at least 50 tokens; by hashes of all "
        "windows of 50 words instead of a suffix array, and one copy is kept"
    )

    words: Count = Field(50, description="words that a run has at least")

    def run(self, corpus: Corpus) -> None:
        catalogue = make_catalogue(corpus, "url")
        units, documents = range(corpus.documents.units), corpus.documents
        listed = run_stage(
            corpus.pool, corpus.folder / "parts", partial(_list, documents, catalogue, self.words), units
        )
        parts = Runs.of(listed, "parts", PART)
        found = run_stage(corpus.pool, corpus.folder / "found", partial(_find, parts, catalogue), parts.ranges())
        cuts, stay = Runs.of(found, "cuts", CUT), Runs.of(found, "stay", CUT)
        run_verdicts(corpus, partial(_verdicts, documents, catalogue, self.words, cuts, stay))
        write_report(corpus, catalogue, found)


def _list(documents: Documents, catalogue: Catalogue, n: int, unit: int, folder: Path) -> None:
    ranks = catalogue.ranks(unit)
    with RunWriter(folder, "parts", PART) as parts:
        for index, document in documents.of_unit(unit):
            hashed = word_hashes(words_in(document.text))
            if len(hashed) >= n:
                keys, _ = ngrams(hashed, np.array([0, len(hashed)]), n)
                parts.add_fields(key=keys, rank=np.uint64(ranks[index]), number=np.arange(len(keys)))


def _find(parts: Runs, catalogue: Catalogue, keys: Range, folder: Path) -> None:
    records = parts.between(keys)
    starts, lengths = groups(records, "key")
    kept = np.repeat(records["rank"][starts], lengths)
    is_cut = np.ones(len(records), bool)
    is_cut[starts] = False
    own = np.flatnonzero(is_cut & (records["rank"] == kept))  # the run stands in its document once more
    first = np.unique(np.repeat(starts, lengths)[own])
    with RunWriter(folder, "cuts", CUT) as cuts, RunWriter(folder, "stay", CUT) as stay:
        for runs, rows in ((cuts, np.flatnonzero(is_cut)), (stay, first)):
            where = catalogue.places(records["rank"][rows])
            runs.add_fields(place=where, number=records["number"][rows], kept=kept[rows])
    write_json(folder / "counts.json", count_parts(records, starts, lengths, 1, int(is_cut.sum())))


def _verdicts(
    documents: Documents, catalogue: Catalogue, n: int, cuts: Runs, stay: Runs, unit: int
) -> Iterator[Verdict]:
    records, kept = cuts.between(of_unit(unit)), stay.between(of_unit(unit))
    cut, protected, names = by_index(records), by_index(kept), partners(catalogue, records)
    for index, document in documents.of_unit(unit):
        if index not in cut:
            continue
        words = word_spans(document.text)
        own = cut[index]
        gone = _covered(own["number"], n, len(words))
        if index in protected:
            gone &= ~_covered(protected[index]["number"], n, len(words))
        if not gone.any():
            continue
        ends = [start for start, _ in words[1:]] + [len(document.text)]
        spans = [(words[word][0], ends[word]) for word in np.flatnonzero(gone).tolist()]
        keepers = Counter(own["kept"].tolist())
        yield verdict_of(index, document, spans, keepers, names, REASON)


def _covered(starts: Values, n: int, words: int) -> Values:
    """(words,) bool: whether a run of n words that begins at one of `starts` has each word."""
    change = np.zeros(words + 1, np.int64)
    np.add.at(change, starts.astype(np.int64), 1)
    np.add.at(change, starts.astype(np.int64) + n, -1)
    covered: Values = np.cumsum(change)[:words] > 0
    return covered
