"""Mixtures of sources: shares to the byte, chosen by hash, epochs and entropies by hand."""

import math
import random
from dataclasses import replace

import pytest

pytest.importorskip("zstandard", reason="the extra curate is not installed")

from scratchgrad.errors import UserError
from scratchgrad.tools.curation.diversity import entropy, format_of
from scratchgrad.tools.curation.document import Document
from scratchgrad.tools.curation.steps.mixture import Mixture, place_of
from tests.curation.corpora import corpus_of, outcome_of, split_into, unsynced  # noqa: F401


def documents(web=60, books=20):
    """Of 10 bytes each."""
    found = [
        Document(f"w/{n}.html:1", f"web {n:06d}", "web", {"url": f"http://www.site{n % 4}.org/{n}"}) for n in range(web)
    ]
    return found + [Document(f"b.jsonl.gz:{n}", f"bok {n:06d}", "books", {"language": "de"}) for n in range(books)]


def mixed(tmp_path, step, given=None, units=3, known=None):
    given = documents() if given is None else given
    return outcome_of(step, corpus_of(tmp_path, split_into(given, units), known))


def test_the_largest_mixture_without_repetition(tmp_path):
    outcome = mixed(tmp_path, Mixture(weights={"web": 0.5, "books": 0.5}))
    kept = [id[0] for id in outcome.texts]
    assert (kept.count("w"), kept.count("b")) == (20, 20)
    web, books = outcome.report["sources"]["web"], outcome.report["sources"]["books"]
    assert (web["kept bytes"], web["epochs"], books["kept documents"], books["epochs"]) == (200, 1, 20, 1)
    assert (outcome.report["bytes wanted"], outcome.report["removed"], outcome.report["warnings"]) == (400, 40, [])
    assert {verdict.reason for verdict in outcome.verdicts.values()} == {"beyond the share of its source"}


@pytest.mark.parametrize(
    ("settings", "web", "books", "epochs"),
    [
        ({"weights": {"web": 3.0, "books": 1.0}}, 60, 20, 1), ({"weights": {"web": 1, "books": 3}}, 7, 20, 1),
        ({"weights": {"web": 1, "books": 1}, "max_epochs": 2.0}, 40, 20, 2), ({"weights": {"web": 1, "books": 1}, "bytes": 100}, 5, 5, 1),
        ({"weights": {"web": 1, "books": 1}, "bytes": 101}, 6, 6, 1), ({"temperature": 1.0}, 60, 20, 1), ({"temperature": 0.0}, 20, 20, 1),
        ({"temperature": 0.5}, math.ceil(200 * math.sqrt(600) / math.sqrt(200) / 10), 20, 1), ({"weights": {"web": 1, "books": 1}, "bytes": 2000}, 60, 20, 5),
    ],
)  # fmt: skip
def test_shares_by_hand(tmp_path, settings, web, books, epochs):
    outcome = mixed(tmp_path, Mixture(**settings))
    kept = [id[0] for id in outcome.texts]
    assert (kept.count("w"), kept.count("b")) == (web, books)
    assert outcome.report["sources"]["books"]["epochs"] == epochs


def test_neither_order_nor_units_decide_but_the_seed_does(tmp_path):
    step = Mixture(weights={"web": 0.7, "books": 0.3}, bytes=200)
    given = documents()
    one = mixed(tmp_path / "1", step, given)
    shuffled = random.Random(0).sample(given, len(given))
    assert {*mixed(tmp_path / "2", step, shuffled, units=5).texts} == {*one.texts}
    chosen = sorted((d for d in given if d.source == "web"), key=lambda d: place_of(d, 7))[:14]
    assert {d.id for d in chosen} == {id for id in one.texts if id[0] == "w"}
    corpus = replace(corpus_of(tmp_path / "3", split_into(given, 3)), seed=8)
    assert {*outcome_of(step, corpus).texts} != {*one.texts}


def test_more_of_a_source_keeps_what_less_of_it_kept(tmp_path):
    less, more = (
        {*mixed(tmp_path / str(size), Mixture(weights={"web": 1, "books": 1}, bytes=size)).texts} for size in (100, 300)
    )
    assert less < more


def test_a_source_that_would_repeat_is_told_and_not_doubled(tmp_path):
    outcome = mixed(tmp_path, Mixture(weights={"web": 0.5, "books": 0.5}, bytes=1000))
    assert outcome.report["warnings"] == ["books is in the mixture 2.5 times, more than mixture.max_epochs = 1"]
    assert outcome.report["data.sources of a training recipe"] == [
        {"source": "curated", "only": "books", "weight": 0.5}, {"source": "curated", "only": "web", "weight": 0.5},
    ]  # fmt: skip
    assert len(outcome.texts) == 20 + 50


def test_entropies_by_hand(tmp_path):
    report = mixed(tmp_path, Mixture(weights={"web": 1, "books": 1})).report["entropy"]
    assert report["sources"] == {"bits before": round(-(0.75 * math.log2(0.75) + 0.25 * math.log2(0.25)), 6), "bits after": 1.0, "values before": 2, "values after": 2}  # fmt: skip
    assert report["formats"]["bits after"] == 1
    assert report["languages"] == report["sources"]
    assert report["domains"]["values before"] == 5
    assert entropy({}) == 0
    assert entropy({1: 8}) == 3
    assert entropy({5: 1}) == 0


@pytest.mark.parametrize(
    ("id", "kind"),
    [("a.warc.gz@1024", "warc"), ("web/b.jsonl.zst:7", "jsonl"), ("textwrap.py", "py"), ("a.b/c", "none"), ("", "none"), ("x.TXT", "txt")],
)  # fmt: skip
def test_formats(id, kind):
    assert format_of(id) == kind


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({}, "needs mixture.weights"), ({"weights": {"web": 1.0}, "temperature": 0.3}, "needs mixture.weights"),
        ({"weights": {"web": 1.0}}, "says nothing of 'books'"), ({"weights": {"web": 1.0, "books": 1.0, "bokos": 2.0}}, "has no source 'bokos'"),
    ],
)  # fmt: skip
def test_mistakes_are_told(tmp_path, settings, said):
    with pytest.raises(UserError, match=said):
        mixed(tmp_path, Mixture(**settings), known={"web": 0, "books": 0})


def test_a_source_of_nothing_and_one_of_empty_texts_limit_nobody(tmp_path):
    given = [*documents(4, 0), Document("e:1", "", "books"), Document("e:2", "", "books")]
    outcome = mixed(tmp_path, Mixture(weights={"web": 1.0, "books": 1.0, "none": 5.0}), given, known={"none": 0})
    assert len(outcome.texts) == 6
    assert outcome.report["warnings"] == ["none has a weight and no documents"]
