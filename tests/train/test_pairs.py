"""Pairs of texts: tasks whose answers are right, files of the user's, batches that are filled up, a part validation."""

import gzip
import json
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scratchgrad import UserError
from scratchgrad.train.data import FilePairs, GeneratedPairs, PairBatches, Pairs, prepare, validation_pairs
from scratchgrad.train.data.tasks import in_words

PAIRS = [("eins", "one"), ("zwei Äpfel", "two apples"), ("drei", "three"), ("vier\u2028fünf", "four")]


def texts(source) -> list[tuple[str, str, bool]]:
    documents = list(source.documents())
    assert [d.is_validation for d in documents[::2]] == [d.is_validation for d in documents[1::2]]
    return [(a.text, b.text, a.is_validation) for a, b in zip(documents[::2], documents[1::2], strict=True)]


def prepared(source, cache):
    return prepare(
        source,
        cache,
        vocab_size=300,
        pattern="gpt4",
        tokenizer_path=None,
        special_tokens=("<pad>",),
        say=lambda _: None,
    )


def reads(words: str) -> int:
    """A number in words, by its parts alone."""
    total = part = 0
    small = [
        "zero",
        "one",
        "two",
        "three",
        "four",
        "five",
        "six",
        "seven",
        "eight",
        "nine",
        "ten",
        "eleven",
        "twelve",
        "thirteen",
        "fourteen",
        "fifteen",
        "sixteen",
    ]
    small += ["seventeen", "eighteen", "nineteen"]
    tens = dict(
        zip(
            ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"],
            range(20, 100, 10),
            strict=True,
        )
    )
    for word in words.replace("-", " ").split():
        if word == "thousand":
            total, part = 1000 * part, 0
        elif word == "hundred":
            part *= 100
        else:
            part += tens[word] if word in tens else small.index(word)
    return total + part


@given(st.integers(0, 999_999))
@settings(max_examples=300)
def test_a_number_in_words_is_that_number(number):
    assert reads(in_words(number)) == number


def test_numbers_are_read_as_in_english():
    said = {0: "zero", 17: "seventeen", 40: "forty", 115: "one hundred fifteen", 7041: "seven thousand forty-one",
            300_000: "three hundred thousand", 999_999: "nine hundred ninety-nine thousand nine hundred ninety-nine"}  # fmt: skip
    assert {number: in_words(number) for number in said} == said


@pytest.mark.parametrize(("task", "answer"), [("reverse", lambda s: s[::-1]), ("numbers", lambda s: str(reads(s)))])
def test_a_task_has_the_right_answers_and_is_the_same_every_time(task, answer):
    made = texts(GeneratedPairs(task, 1000, 0.1))
    assert all(target == answer(source) for source, target, _ in made)
    assert texts(GeneratedPairs(task, 500, 0.1)) == made[:500]
    assert len({len(source) for source, _, _ in made}) >= 10
    assert len({source for source, _, _ in made}) > 600


@pytest.mark.parametrize("task", ["reverse", "numbers"])
def test_no_source_is_both_trained_on_and_validation(task):
    made = texts(GeneratedPairs(task, 5000, 0.2))
    sides = [{source for source, _, held in made if held == side} for side in (True, False)]
    assert not sides[0] & sides[1]
    assert 0.15 < sum(held for *_, held in made) / 5000 < 0.25


def test_pairs_of_the_users_own(tmp_path):
    (tmp_path / "a.tsv").write_bytes("".join(f"{a}\t{b}\n" for a, b in PAIRS[:2]).encode() + b"\n" + b"drei\tthree\r\n")
    lines = "".join(json.dumps({"source": a, "target": b, "more": 1}) + "\n" for a, b in PAIRS)
    (tmp_path / "b.jsonl").write_text(lines)
    (tmp_path / "c.jsonl.gz").write_bytes(gzip.compress(lines.encode()))
    found = [pair[:2] for pair in texts(FilePairs([f"{tmp_path}/*"], 0.2))]
    assert found == PAIRS[:3] + PAIRS + PAIRS


@pytest.mark.parametrize(("name", "text", "words"), [
    ("a.tsv", "one\ttwo\nthree\n", "a.tsv', line 2: 0 tabs where one between two texts is needed"),
    ("a.tsv", "one\ttwo\tthree\n", "line 1: 2 tabs"),
    ("a.tsv", "", "is empty"),
    ("a.jsonl", '{"source": "x"}\n', 'a.jsonl\', line 1: a record needs a field "target" that holds a string'),
    ("a.jsonl", '{"source": 1, "target": "y"}\n', 'a record needs a field "source"'),
    ("a.jsonl", "[1]\n", 'a record needs a field "source"'),
    ("a.jsonl", "{\n", "line 1: not JSON"),
    ("a.txt", "one\ttwo\n", "only .tsv, .jsonl, .jsonl.gz files are read"),
])  # fmt: skip
def test_files_that_hold_no_pairs_are_told(tmp_path, name, text, words):
    (tmp_path / name).write_text(text)
    with pytest.raises(UserError, match=re.escape(words)):
        list(FilePairs([f"{tmp_path}/*"], 0.2).documents())


def test_batches_hold_the_pairs_filled_up_with_a_mask(tmp_path):
    done = prepared(GeneratedPairs("reverse", 300, 0.2), tmp_path)
    tokenizer = done.tokenizer
    pairs = Pairs(done.tokens("train"), tokenizer, context=20)
    wanted = [(a, b) for a, b, held in texts(GeneratedPairs("reverse", 300, 0.2)) if not held]
    assert len(pairs) == len(wanted)
    batch = pairs.batch(range(len(pairs)))
    assert batch["mask"].shape == (len(pairs), 1, 1, batch["ids"].shape[1])
    for row, (source, target) in enumerate(wanted):
        seen = batch["mask"][row, 0, 0]
        ids, targets = batch["ids"][row], batch["targets"][row]
        assert tokenizer.decode(ids[seen].tolist()) == f"{source}<|endoftext|>"
        assert (ids[~seen] == tokenizer.special_tokens["<pad>"]).all()
        assert tokenizer.decode(targets[targets >= 0].tolist()) == f"{target}<|endoftext|>"
        assert (np.diff((targets >= 0).astype(int)) <= 0).all(), "what counts stands first"
    assert batch["mask"].any(axis=(0, 1, 2)).all(), "filled up no further than the longest"
    assert pairs.target_tokens == (batch["targets"] >= 0).sum()


def stripped(batch) -> list[tuple[list[int], list[int]]]:
    return [
        (ids[mask[0, 0]].tolist(), targets[targets >= 0].tolist())
        for ids, mask, targets in zip(batch["ids"], batch["mask"], batch["targets"], strict=True)
    ]


def test_an_epoch_sees_every_pair_once_whichever_rank_asks(tmp_path):
    done = prepared(GeneratedPairs("reverse", 300, 0.2), tmp_path)
    pairs = Pairs(done.tokens("train"), done.tokenizer, context=20)
    one, two, other = (PairBatches(pairs, 8, seed) for seed in (5, 5, 6))
    parts = {first: stripped(two.rows(3, first, first + 2)) for first in (6, 0, 4, 2)}
    assert stripped(one.rows(3, 0, 8)) == [row for first in (0, 2, 4, 6) for row in parts[first]]
    assert stripped(other.rows(3, 0, 8)) != stripped(one.rows(3, 0, 8))
    seen = [row for step in range(len(pairs) // 4 + 1) for row in stripped(one.rows(step, 0, 8))][: 2 * len(pairs)]
    everything = sorted(stripped(pairs.batch(range(len(pairs)))))
    first, second = seen[: len(pairs)], seen[len(pairs) :]
    assert sorted(first) == sorted(second) == everything
    assert first != second


def test_held_out_pairs_are_spread_over_all_and_come_in_full_batches(tmp_path):
    done = prepared(GeneratedPairs("reverse", 300, 0.3), tmp_path)
    pairs = Pairs(done.tokens("validation"), done.tokenizer, context=20)
    whole = validation_pairs(pairs, 8, limit=10**9)
    assert (whole.tokens, whole.text_bytes) == (pairs.target_tokens, None)
    rows = [row for batch in whole.batches for row in stripped(batch)]
    assert rows[: len(pairs)] == stripped(pairs.batch(range(len(pairs))))
    assert all(row == ([], []) for row in rows[len(pairs) :])
    some = validation_pairs(pairs, 8, limit=pairs.target_tokens // 3)
    assert some.tokens == pytest.approx(pairs.target_tokens / 3, rel=0.2)
    assert all(len(batch["ids"]) == 8 for batch in whole.batches + some.batches)


def test_pairs_that_do_not_fit_are_told(tmp_path):
    done = prepared(GeneratedPairs("reverse", 300, 0.2), tmp_path)
    with pytest.raises(
        UserError, match=r"\d+ of \d+ pairs are longer than train.context = 6 tokens; the longest text has"
    ):
        Pairs(done.tokens("train"), done.tokenizer, context=6)
    with pytest.raises(UserError, match="there is no pair to train on, or none validation"):
        Pairs(np.empty(0, np.uint16), done.tokenizer, context=6)
