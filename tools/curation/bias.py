"""Whom a curation silences: how much of each group, dialect, site, language and source it drops, and in what company
the words for groups stand before and after it.

Both are functions of a finished output folder, read part by part; what they hold does not grow with the text.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from scratchgrad.tools.curation.attributes import attribute_names, read_attributes
from scratchgrad.tools.curation.batch import Values
from scratchgrad.tools.curation.decisions import KEPT
from scratchgrad.tools.curation.document import Document
from scratchgrad.tools.curation.engine import DOCUMENTS_FOLDER
from scratchgrad.tools.curation.group_terms import BETWEEN, GroupTerms, group_terms, read_back
from scratchgrad.tools.curation.hashes import text_hash
from scratchgrad.tools.curation.outcomes import Outcomes
from scratchgrad.tools.curation.phrases import around, folded, words_of
from scratchgrad.tools.curation.recipe import load_recipe
from scratchgrad.tools.curation.resuming import RECIPE
from scratchgrad.tools.curation.shards import DOCUMENTS, read_documents

EVERYTHING = ("all", "all documents")
LISTED = "listed word"
LABELS = ("terms.found", "terms.domain", "terms.language", "language.language", "word_list.terms")
MOST_DOMAINS = 500  # that are told, of those with most documents
HELD = 1 << 20  # hashes of domains that are counted at once
NEAR = 5  # words before and behind a term are its company
MOST_WORDS = 20_000  # of a term's company that are counted on, when there are twice as many
SAMPLE = 20_000  # documents in which company is looked for
FEWEST = 20  # words of company that say something


@dataclass(frozen=True)
class Rate:
    """Of the documents of a kind how many were dropped; step: that which drops most of them, '' where none does."""

    kind: str
    value: str
    documents: int
    dropped: int
    step: str

    @property
    def share(self) -> float:
        return self.dropped / self.documents


@dataclass(frozen=True)
class Company:
    """How often a word stands near a term, in 1,000 words that do, before curation and after it."""

    term: str
    word: str
    before: float
    after: float


def removal_rates(out: Path) -> list[Rate]:
    """A row for all documents, then for each kind its values, those of most documents first.

    Without the step `terms` there are rows for sources, and for what the steps `language` and `word_list` found: of the
    latter those of a `listed word`. UserError where `out` is no finished curation.
    """
    outcomes = Outcomes(out)
    domains = _largest_domains(outcomes)
    counts: Counter[tuple[str, str]] = Counter()
    by_step: Counter[tuple[str, str, int]] = Counter()
    for columns, steps in _rows(outcomes):
        values = _values(columns, domains)
        for of_document, step in zip(values, steps.tolist(), strict=True):
            for kind, value in of_document:
                counts[kind, value] += 1
                if step != KEPT:
                    by_step[kind, value, step] += 1
    names = outcomes.steps
    most: dict[tuple[str, str], tuple[int, int]] = {}
    dropped: Counter[tuple[str, str]] = Counter()
    for (kind, value, step), count in sorted(by_step.items()):
        dropped[kind, value] += count
        most[kind, value] = max(most.get((kind, value), (0, 0)), (count, -step))
    rates = [
        Rate(kind, value, count, dropped[kind, value],
             names[-most[kind, value][1]] if (kind, value) in most else "")
        for (kind, value), count in counts.items()
    ]  # fmt: skip
    return sorted(rates, key=lambda rate: (rate.kind != EVERYTHING[0], rate.kind, -rate.documents, rate.value))


def company(out: Path, most: int = 5) -> list[Company]:
    """For each term the `most` words whose share of its company has changed most, the largest changes first: measured
    in standard errors, so that a word that is seen twice says little.

    It is looked for in some documents, chosen by the hash of their ids: the same ones before and after. None where the
    recipe has no step `terms`, or the text of dropped documents was not kept.
    """
    outcomes = Outcomes(out)
    shards = [part for part in outcomes.parts if (part / DOCUMENTS).exists()]
    if "terms" not in outcomes.steps or len(shards) < len(outcomes.parts):
        return []
    recipe = load_recipe(str(out / RECIPE))
    terms = group_terms(next(step.file for step in recipe.steps if step.name == "terms"))  # type: ignore[attr-defined]
    whole = sum(counts.get("documents", 0) for counts in outcomes.groups[0]["read"].values())
    share = min(1.0, SAMPLE / max(whole, 1))
    before = _company_in(_sample(shards, share), terms)
    after = _company_in(_sample(sorted((out / DOCUMENTS_FOLDER).iterdir()), share), terms)
    found: list[tuple[float, Company]] = []
    for term in sorted(before.keys() & after.keys()):
        totals = [sum(part[term].values()) for part in (before, after)]
        if min(totals) < FEWEST:
            continue
        rows: list[tuple[float, Company]] = []
        for word in sorted(before[term].keys() | after[term].keys()):
            counts = before[term][word], after[term][word]
            shares = [1000 * count / total for count, total in zip(counts, totals, strict=True)]
            if change := _change(*counts, *totals):
                rows.append((change, Company(term, word, *shares)))
        found += sorted(rows, key=lambda row: (-row[0], row[1].word))[:most]
    return [row for _, row in sorted(found, key=lambda row: (-row[0], row[1].term, row[1].word))]


def _change(before: int, after: int, whole_before: int, whole_after: int) -> float:
    """Between two shares, in standard errors of their difference."""
    pooled = (before + after) / (whole_before + whole_after)
    error = math.sqrt(pooled * (1 - pooled) * (1 / whole_before + 1 / whole_after))
    return abs(before / whole_before - after / whole_after) / error if error else 0.0


def _rows(outcomes: Outcomes) -> Iterator[tuple[dict[str, Values], Values]]:
    """Some thousand documents at a time: the columns that tell of whom they are, and the step that drops each."""
    for part in outcomes.parts:
        steps, before = outcomes.dropped_by(part.name), 0
        there = attribute_names(part)
        labels = [name for name in LABELS if name in there]
        for columns in read_attributes(part, ["source", *labels]):
            length = len(columns["source"])
            yield columns, steps[before : before + length]
            before += length


def _values(columns: dict[str, Values], domains: set[str]) -> Iterator[list[tuple[str, str]]]:
    """Of each document (kind, value) of all that it is counted under."""
    nothing = [""] * len(columns["source"])
    listed = columns.get("word_list.terms", nothing)
    found = columns.get("terms.found", nothing)
    sites = columns.get("terms.domain", nothing)
    languages = columns.get("language.language", columns.get("terms.language", nothing))
    for source, label, site, language, words in zip(columns["source"], found, sites, languages, listed, strict=True):
        values = [EVERYTHING, ("source", source), *read_back(label)]
        values += [(LISTED, part.rpartition(" ")[0]) for part in words.split(BETWEEN) if part]
        if site in domains:
            values.append(("domain", site))
        if language:
            values.append(("language", language))
        yield values


def _largest_domains(outcomes: Outcomes) -> set[str]:
    """Two passes: first the hashes are counted, 16 bytes for each domain; then the largest are named."""
    keys, counts = np.empty(0, np.uint64), np.empty(0, np.int64)
    held: list[int] = []

    def merge() -> None:
        nonlocal keys, counts
        own = np.array(held, np.uint64)
        held.clear()
        together, places = np.unique(np.concatenate([keys, own]), return_inverse=True)
        weights = np.concatenate([counts, np.ones(len(own), np.int64)])
        sums = np.zeros(len(together), np.int64)
        np.add.at(sums, places, weights)
        keys, counts = together, sums

    for site in _domains(outcomes):
        held.append(_number(site))
        if len(held) == HELD:
            merge()
    merge()
    largest = set(keys[np.lexsort((keys, -counts))[:MOST_DOMAINS]].tolist())
    return {site for site in _domains(outcomes) if _number(site) in largest}


def _domains(outcomes: Outcomes) -> Iterator[str]:
    for part in outcomes.parts:
        if "terms.domain" in attribute_names(part):
            for columns in read_attributes(part, ["terms.domain"]):
                yield from filter(None, columns["terms.domain"])


def _number(text: str) -> int:
    return int.from_bytes(text_hash(text), "big")


def _sample(folders: Iterable[Path], share: float) -> Iterator[Document]:
    border = int(share * 2**64)
    for folder in folders:
        yield from (document for document in read_documents(folder) if _number(document.id) < border)


def _company_in(documents: Iterable[Document], terms: GroupTerms) -> dict[str, Counter[str]]:
    found: dict[str, Counter[str]] = {}
    for document in documents:
        text = folded(document.text)
        for _, term, start, end in terms.find(text):
            words = found.setdefault(term, Counter())
            for part in around(text, start, end, NEAR):
                words.update(words_of(part))
            if len(words) > 2 * MOST_WORDS:
                kept = sorted(words.items(), key=lambda item: (-item[1], item[0]))[:MOST_WORDS]
                found[term] = Counter(dict(kept))
    return found
