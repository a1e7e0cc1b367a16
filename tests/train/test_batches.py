"""Which rows a step sees: a function of the seed and the row's number, every row of an epoch once, sources by weight."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scratchgrad import UserError
from scratchgrad.tools.data import TokenizedExample
from scratchgrad.train.batches import ExampleBatches, WindowBatches
from tests.train.objectives.small import small, store_of, text_store


def starts(windows):
    return {"starts": np.array([window.ids[0] for window in windows])}


def windows_over(folder, *texts, weights=None, window=11, stride=10, seed=3):
    stores = [text_store(folder / f"train-{i}", np.asarray(text)) for i, text in enumerate(texts)]
    return WindowBatches(stores, weights or [1.0] * len(texts), starts, window=window, stride=stride, seed=seed)


def examples_over(folder, *counts, weights=None, seed=3, context=9):
    """Example i of source s is the tokens 100 * s + i, i % 3 + 1 of them."""
    stores = [
        store_of(folder / f"train-{s}", [
            TokenizedExample.of(([1000 * s + i] * (i % 3 + 1), True)) for i in range(count)
        ], 70_000)
        for s, count in enumerate(counts)
    ]  # fmt: skip
    collate = lambda rows: {"starts": np.array([row.ids[0] for row in rows])}  # noqa: E731
    return ExampleBatches(stores, weights or [1.0] * len(counts), collate, context=context, seed=seed)


def test_an_epoch_sees_every_window_once_and_the_next_one_in_another_order(tmp_path):
    batches = windows_over(tmp_path, np.arange(1000))
    count = round(1 / batches.epochs(1)[0])
    assert count == (1000 - 1) // 10 - 1
    first, second = (batches.rows(range(n, n + count))["starts"] for n in (0, count))
    for epoch in (first, second):
        assert len(set(epoch.tolist())) == count
        assert len({start % 10 for start in epoch.tolist()}) == 1, "neighbouring windows from one offset on"
    assert first.tolist() != sorted(first.tolist())
    assert first.tolist() != second.tolist()


def test_an_epoch_sees_every_example_once(tmp_path):
    batches = examples_over(tmp_path, 50)
    first, second = (batches.rows(range(n, n + 50))["starts"].tolist() for n in (0, 50))
    assert sorted(first) == sorted(second) == list(range(50))
    assert first != second


@pytest.mark.parametrize("make", [lambda folder, seed: windows_over(folder, np.arange(5000), seed=seed),
                                  lambda folder, seed: examples_over(folder, 333, seed=seed)])  # fmt: skip
def test_a_row_is_a_function_of_the_seed_and_its_number(tmp_path, make):
    one, two, other = (make(tmp_path / str(i), seed) for i, seed in enumerate((5, 5, 6)))
    for number in (7200, 24, 333):
        whole = one.rows(range(number, number + 8))["starts"]
        parts = [two.rows(range(number + i, number + i + 2))["starts"] for i in (6, 0, 4, 2)]
        assert np.array_equal(whole, np.concatenate([parts[i] for i in (1, 3, 2, 0)]))
    assert not np.array_equal(one.rows(range(8))["starts"], other.rows(range(8))["starts"])


@given(st.integers(1, 5), st.integers(1, 5), st.integers(0, 2**32))
def test_sources_give_rows_in_the_ratio_of_their_weights(tmp_path_factory, a, b, seed):
    batches = examples_over(tmp_path_factory.mktemp("mixed"), 20, 30, weights=[float(a), float(b)], seed=seed)
    rows = batches.rows(range(10 * (a + b)))["starts"]
    of_second = rows >= 1000
    assert of_second.sum() == 10 * b
    for epoch in range(10 * a // 20):
        assert sorted(rows[~of_second][20 * epoch : 20 * epoch + 20].tolist()) == list(range(20))
    assert batches.epochs(10 * (a + b)) == pytest.approx([10 * a / 20, 10 * b / 30])


def test_windows_of_several_sources_are_mixed_too_and_sampled_by_weight(tmp_path):
    batches = windows_over(tmp_path, np.arange(2000), np.arange(5000, 9000), weights=[3.0, 1.0])
    assert ((batches.rows(range(400))["starts"] >= 5000).sum()) == 100
    sample = batches.sample(800)["starts"]
    assert ((sample < 5000).sum(), (sample >= 5000).sum()) == (60, 20)


def test_one_source_of_a_mixture_is_read_as_it_would_be_alone(tmp_path):
    alone = windows_over(tmp_path / "a", np.arange(2000)).rows(range(30))["starts"]
    mixed = windows_over(tmp_path / "b", np.arange(2000), np.arange(5000, 9000)).rows(range(60))["starts"]
    assert mixed[mixed < 5000].tolist() == alone.tolist()


@pytest.mark.parametrize("length", [11, 12, 20, 21, 22, 31])
def test_the_shortest_texts(tmp_path, length):
    rows = windows_over(tmp_path, np.arange(length)).rows(range(15, 18))["starts"]
    assert rows.shape == (3,)
    assert rows.max() <= length - 11


def test_a_sample_is_spread_over_the_text_the_same_on_every_call(tmp_path):
    batches = windows_over(tmp_path, np.arange(1001))
    sample = batches.sample(300)["starts"]
    assert len(sample) == 30
    assert sample.min() < 50
    assert sample.max() > 950
    assert np.array_equal(sample, batches.sample(300)["starts"])
    assert len(batches.sample(10**9)["starts"]) == 100
    some = examples_over(tmp_path / "examples", 60)
    assert len(some.sample(10**9)["starts"]) == 60
    third = some.sample(40)["starts"]
    assert np.diff(third).tolist() == [3] * 19


def test_texts_and_examples_that_do_not_do_are_told(tmp_path):
    with pytest.raises(UserError, match="the training text has 10 tokens, and one sequence needs 11"):
        windows_over(tmp_path / "a", np.arange(10))
    objective, _ = small("causal_lm")
    nothing = text_store(tmp_path / "validation-0", np.empty(0, np.uint16))
    with pytest.raises(UserError, match="the validation text has 0 tokens, and one sequence needs 25"):
        objective.batches([nothing], [1.0])
    with pytest.raises(UserError, match="there is no training example: add examples"):
        examples_over(tmp_path / "b", 0)
    with pytest.raises(
        UserError, match=r"20 of 60 training examples are longer than train.context = 2 tokens; the longest has 3"
    ):
        examples_over(tmp_path / "c", 60, context=2)


def test_tokens_that_are_no_targets_are_read_and_not_asked_for(tmp_path):
    objective, _ = small("causal_lm", context=5)
    store = store_of(tmp_path / "train-0", [TokenizedExample.of(([1, 2, 3], False), ([4, 5, 6], True))], 300)
    batch = objective.batches([store], [1.0]).sample(100)
    assert batch["input_ids"].tolist() == [[1, 2, 3, 4, 5]]
    assert batch["targets"].tolist() == [[-100, -100, 4, 5, 6]]
