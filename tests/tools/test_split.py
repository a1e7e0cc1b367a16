"""Validation has about the share asked for, whatever the documents; the same ones each time; nothing is on both sides."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scratchgrad import UserError
from scratchgrad.tools.data import split, train_validation_split
from scratchgrad.tools.text import Example, build_source

SHARES = st.sampled_from([0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.8, 0.95])
LINE = "a line of text, as there are many\n"


def document(number: int, text: str) -> Example:
    return Example(f"{number}.txt", {"text": text})


def pair(number: int, source: str, target: str = "x") -> Example:
    return Example(f"a.tsv:{number}", {"source": source, "target": target})


def sides(examples, share, fields=("text",)):
    made = list(train_validation_split(examples, share, fields).sides(examples))
    return [example for held, example in made if not held], [example for held, example in made if held]


def share_of(validation, everything, fields=("text",)) -> float:
    validation, everything = (sum(split.size_of(e, fields) for e in part) for part in (validation, everything))
    return validation / everything


def is_about(found: float, share: float, characters: int) -> bool:
    """Within the documented band, but for the roundings of a small corpus."""
    return abs(found - share) <= 0.5 * min(share, 1 - share) + 2 / characters


@st.composite
def corpora(draw) -> list[Example]:
    """Documents of very different lengths: many or few, some of one line, some of lines of very different lengths."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    made = []
    for _ in range(draw(st.integers(1, 30))):
        characters = rng.choice(list("xxxxx \n"), int(10 ** rng.uniform(0, 4.5)))
        if rng.random() < 0.5:  # lines as long as they come
            characters[characters != "x"] = rng.choice(["x", " "])
        made.append("".join(characters))
    return [document(number, text) for number, text in enumerate(made)]


@given(corpora(), SHARES)
@settings(max_examples=200)
def test_validation_has_about_the_share_of_any_corpus_and_nothing_is_lost(examples, share):
    train, validation = sides(examples, share)
    characters = sum(len(example.text()) for example in examples)
    assert is_about(share_of(validation, examples), share, characters) or characters < 20
    for example in examples:
        parts = [e.text() for e in (*train, *validation) if e.name == example.name]
        assert "".join(parts) == example.text()
        assert len(parts) <= 2
    assert (train, validation) == sides(examples, share)


CORPORA = {
    "one line": ["one line without an end " * 40],
    "one word": ["x" * 1000],
    "one file": [LINE * 300],
    "two files": [LINE * 300, LINE * 310],
    "eight files": [LINE * (100 + i) for i in range(8)],
    "twenty files": [LINE * (10 + i) for i in range(20)],
    "one huge, many small": [LINE * 20_000, *(LINE * 5 for _ in range(200))],
    "two huge, one small": [LINE * 10_000, LINE, LINE * 12_000],
    "a title, then one long line": ["A title\n" + "and then all of it in one line " * 1000],
    "one long line, then an end": ["and then all of it in one line " * 1000 + "\nThe end\n"],
    "many alike": [LINE * 3] * 2000,
    "many empty ones": [*[""] * 50, LINE * 40],
}


@pytest.mark.parametrize("share", [0.01, 0.05, 0.2, 0.5, 0.9])
@pytest.mark.parametrize("name", CORPORA)
def test_every_kind_of_corpus(name, share):
    examples = [document(number, text) for number, text in enumerate(CORPORA[name])]
    train, validation = sides(examples, share)
    assert abs(share_of(validation, examples) - share) <= 0.5 * min(share, 1 - share) + 1e-3
    assert "".join(sorted(e.text() for e in train))
    assert "".join(e.text() for e in validation)


def test_tails_are_cut_at_lines_then_between_words():
    lines = "".join(f"line {i}\n" for i in range(100))
    (train,), (validation,) = sides([document(0, lines)], 0.1)
    assert train.text() + validation.text() == lines
    assert re.fullmatch(r"(line 9\d\n)+", validation.text())
    words = "title\n" + "some words " * 100
    (train,), (validation,) = sides([document(0, words)], 0.1)
    assert train.text().endswith(" ")
    assert len(validation.text()) == pytest.approx(0.1 * len(words), rel=0.25)
    assert sides([document(0, "ab")], 0.1) == ([document(0, "a")], [document(0, "b")])


def test_what_is_long_is_cut_and_the_rest_stays_whole():
    examples = [document(0, LINE * 50_000), *(document(i, LINE * 5) for i in range(1, 500))]
    train, validation = sides(examples, 0.05)
    cut = {e.name for e in train} & {e.name for e in validation}
    assert cut == {"0.txt"}
    assert 10 < len(validation) - 1 < 40


def test_many_documents_are_told_apart_by_the_hash_of_their_names_alone():
    examples = [document(i, LINE * (1 + i % 7)) for i in range(2000)]
    train, validation = sides(examples, 0.1)
    assert {e.name for e in validation} == {e.name for e in examples if split.key_hash(e.name) < 0.1 * 2**64}
    assert {e.name for e in train}.isdisjoint(e.name for e in validation)
    more = [*examples, *(document(i, LINE) for i in range(5000, 6000))]
    after = sides(more, 0.1)
    assert {e.name for e in after[1]} & {e.name for e in examples} == {e.name for e in validation}


def test_the_standard_library_is_split_by_names():
    examples = list(build_source("stdlib").examples())
    decided = train_validation_split(examples, 0.05)
    assert decided.longest is None
    validation = [e.name for held, e in decided.sides(examples) if held]
    assert validation == [e.name for e in examples if split.key_hash(e.name) < 0.05 * 2**64]
    assert 15 < len(validation) < 45
    assert split.key_hash("abc") == 0xBA7816BF8F01CFEA  # as sha256sum has it


@given(st.lists(st.integers(0, 40), min_size=2, max_size=60), SHARES)
def test_inputs_that_come_again_are_on_one_side_and_pairs_are_never_cut(numbers, share):
    fields = ("source", "target")
    examples = [pair(i, f"source {number}", f"{i}") for i, number in enumerate(numbers)]
    train, validation = sides(examples, share, fields)
    assert sorted([*train, *validation], key=lambda e: e.name) == sorted(examples, key=lambda e: e.name)
    assert {e.text("source") for e in train}.isdisjoint(e.text("source") for e in validation)
    if len(set(numbers)) > 1:
        assert train
        assert validation


@pytest.mark.parametrize("task", ["reverse", "numbers"])
def test_pairs_are_split_by_a_hash_of_their_source(task):
    fields, examples = ("source", "target"), list(build_source(task, pairs=5000).examples())
    train, validation = sides(examples, 0.2, fields)
    assert 0.15 < len(validation) / 5000 < 0.25
    assert all(split.key_hash(e.text("source")) < 0.2 * 2**64 for e in validation)
    assert not any(split.key_hash(e.text("source")) < 0.2 * 2**64 for e in train)


@given(st.lists(st.sampled_from(["a", "b", "ä" * 9]), min_size=1, max_size=30), st.sampled_from([0.1, 0.5]))
def test_inputs_that_are_no_strings_and_labels_that_are_none(words, share):
    examples = [Example(f"a.jsonl:{i}", {"tokens": [word, str(i)], "label": i}) for i, word in enumerate(words)]
    train, validation = sides(examples, share, ("tokens", "label"))
    assert len(train) + len(validation) == len(examples)


def test_what_cannot_be_split_is_told():
    with pytest.raises(UserError, match='an example needs a field "target"'):
        train_validation_split([Example("a.jsonl:3", {"source": "x"})], 0.1, ("source", "target"))
    for share in (-0.1, 1.0, float("nan")):
        with pytest.raises(UserError, match="cannot be validation"):
            train_validation_split([], share)


def test_names_that_no_utf8_can_spell():
    assert split.key_hash("a\ud800") != split.key_hash("a?")
