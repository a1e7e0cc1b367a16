"""Span corruption: nothing is lost, shares are what they should be, and a row depends on its number alone."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scratchgrad import UserError
from scratchgrad.models import T5Config
from scratchgrad.tools.data import TextLayout
from scratchgrad.tools.tokenizer import train_bpe
from scratchgrad.train.objectives import objectives
from tests.train.objectives.small import text_store, windows_of

SpanCorruption = objectives()["span_corruption"]
TOKENIZER = train_bpe(["some text"], 400, special_tokens=("<|endoftext|>", *SpanCorruption.special_tokens))
CONFIG = T5Config.checked({"vocab_size": 400, "d_model": 8, "d_ff": 8, "num_layers": 1, "num_heads": 1, "d_kv": 8})
END, FIRST = TOKENIZER.end_of_text, TOKENIZER.special_tokens["<extra_id_0>"]
contexts = st.integers(4, 600)


def spans_of(context: int, seed: int):
    return SpanCorruption(TextLayout(TOKENIZER), CONFIG, context=context, seed=seed)


def rows_of(spans, numbers: range):
    """Windows of ordinary tokens, all different."""
    windows = windows_of(np.arange(len(numbers) * spans.window) + 1000, spans.window, numbers)
    return np.stack([window.ids for window in windows]), spans.batch(windows)


def put_back(ids: list[int], targets: list[int]) -> list[int]:
    """The text that a source and its target are made of, read off them without any knowledge of how they were made."""
    stretches, sentinel = {}, None
    for token in targets[:-1]:
        if token <= FIRST:
            sentinel = token
            stretches[sentinel] = []
        else:
            stretches[sentinel].append(token)
    return [token for i in ids[:-1] for token in (stretches.pop(i) if i <= FIRST else [i])]


@given(contexts, st.integers(0, 2**40), st.integers(0, 2**32))
@settings(max_examples=50)
def test_a_source_and_its_target_give_the_window_back(context, number, seed):
    spans = spans_of(context, seed)
    windows, rows = rows_of(spans, range(number, number + 3))
    for window, ids, targets in zip(windows, rows["input_ids"].tolist(), rows["targets"].tolist(), strict=True):
        assert put_back(ids, targets) == window.tolist()


@given(contexts, st.integers(0, 2**32))
@settings(max_examples=50)
def test_sentinels_stand_once_each_and_in_order_with_something_between(context, seed):
    spans = spans_of(context, seed)
    _, rows = rows_of(spans, range(4))
    for name in ("input_ids", "targets"):
        for row in rows[name].tolist():
            assert row[-1] == END
            at = [place for place, token in enumerate(row[:-1]) if token <= FIRST]
            assert [row[place] for place in at] == list(range(FIRST, FIRST - len(at), -1))
            starts = [*at, len(row) - 1] if name == "targets" else [-1, *at]
            assert np.diff(starts).min() > 1


@pytest.mark.parametrize("context", [64, 128, 256, 512])
def test_a_window_fills_the_context_and_loses_fifteen_in_a_hundred_in_threes(context):
    spans = spans_of(context, 0)
    _, rows = rows_of(spans, range(500))
    assert rows["input_ids"].shape == (500, context)
    taken = (rows["targets"] > FIRST).sum(axis=1)
    stretches = ((rows["targets"] <= FIRST) & (rows["targets"] != END)).sum(axis=1)
    assert (taken == round(0.15 * spans.window)).all()
    assert taken[0] / stretches[0] == pytest.approx(3, abs=0.35)
    hidden = np.zeros(spans.window)
    for number, row in enumerate(rows["targets"]):
        hidden[row[row > FIRST] - 1000 - number * spans.window] += 1
    assert (hidden[1:] > 0).all()
    assert hidden[0] == 0, "a window begins with what stays"
    assert hidden[-1] == 500, "and ends with what goes"


def test_stretches_are_of_all_lengths():
    _, rows = rows_of(spans_of(256, 0), range(200))
    lengths = np.concatenate([np.diff(np.flatnonzero(row <= FIRST)) - 1 for row in rows["targets"]])
    assert lengths.min() == 1
    assert lengths.max() > 8
    assert lengths.mean() == pytest.approx(3, abs=0.15)


def test_a_row_is_a_function_of_the_seed_and_its_number(tmp_path):
    store = text_store(tmp_path / "train-0", np.arange(5000) + 1000)
    one, two, other = (spans_of(64, seed).batches([store], [1.0]) for seed in (5, 5, 6))
    for first in (7200, 24):
        whole = one.rows(range(first, first + 8))
        parts = [two.rows(range(first + i, first + i + 2)) for i in (6, 0, 4, 2)]
        for name in ("input_ids", "targets"):
            assert np.array_equal(whole[name], np.concatenate([parts[i][name] for i in (1, 3, 2, 0)]))
    assert not np.array_equal(one.rows(range(8))["input_ids"], other.rows(range(8))["input_ids"])
    _, first = rows_of(spans_of(64, 5), range(2))
    assert not np.array_equal(*(row > FIRST for row in first["input_ids"])), "two rows are cut alike"


def test_sentinels_are_numbered_as_in_t5s_vocabulary():
    named = [TOKENIZER.special_tokens[f"<extra_id_{i}>"] for i in range(100)]
    assert named == list(range(named[0], named[0] - 100, -1))
    assert max(TOKENIZER.special_tokens.values()) == FIRST


@pytest.mark.parametrize(("context", "words"), [
    (3, "train.context = 3 is too short to take spans out; it needs 4 or more"),
    (3000, "train.context = 3000 needs 167 sentinels, and there are 100"),
])  # fmt: skip
def test_a_context_that_cannot_be_is_told(context, words):
    with pytest.raises(UserError, match=words):
        spans_of(context, 0)
