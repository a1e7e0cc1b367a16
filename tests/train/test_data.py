"""From tokens to batches: what a step sees."""

import numpy as np
import pytest

from scratchgrad import UserError
from scratchgrad.train.data import NextToken, TrainBatches, validation_batches


def test_an_epoch_sees_every_window_once_and_the_next_one_in_another_order():
    tokens = np.arange(1000, dtype=np.uint16)
    batches = TrainBatches(tokens, NextToken(10), batch_size=7, seed=3)
    windows = (1000 - 1) // 10 - 1
    rows = [batches.rows(step, 0, 7) for step in range(2 * windows)]
    starts = np.concatenate([row["ids"][:, 0] for row in rows])[: 2 * windows]
    assert all((row["targets"] - row["ids"] == 1).all() for row in rows)
    first, second = starts[:windows], starts[windows:]
    for epoch in (first, second):
        assert len(set(epoch.tolist())) == windows
        assert len({start % 10 for start in epoch.tolist()}) == 1, "neighbouring windows from one offset on"
    assert first.tolist() != sorted(first.tolist())
    assert first.tolist() != second.tolist()


def test_a_step_is_a_function_of_the_seed_and_its_number():
    tokens = np.random.default_rng(0).integers(0, 500, 5000).astype(np.uint16)
    one, two = (TrainBatches(tokens, NextToken(16), 8, seed=5) for _ in range(2))
    for step in (900, 3, 41):
        whole = one.rows(step, 0, 8)
        parts = [two.rows(step, first, first + 2) for first in (4, 0, 6, 2)]
        for name in ("ids", "targets"):
            assert np.array_equal(whole[name], np.concatenate([parts[i][name] for i in (1, 3, 0, 2)]))
    other = TrainBatches(tokens, NextToken(16), 8, seed=6)
    assert not np.array_equal(one.rows(0, 0, 8)["ids"], other.rows(0, 0, 8)["ids"])


@pytest.mark.parametrize("length", [11, 12, 20, 21, 22, 31])
def test_the_shortest_texts(length):
    rows = TrainBatches(np.arange(length), NextToken(10), batch_size=3, seed=0).rows(5, 0, 3)
    inputs, targets = rows["ids"], rows["targets"]
    assert inputs.shape == targets.shape == (3, 10)
    assert (targets - inputs == 1).all()


def test_a_text_shorter_than_a_sequence_is_told():
    with pytest.raises(UserError, match="the training text has 10 tokens, and one sequence needs 11"):
        TrainBatches(np.arange(10), NextToken(10), batch_size=3, seed=0)
    with pytest.raises(UserError, match="the validation text has 0 tokens, and one sequence needs 11"):
        validation_batches(np.empty(0, np.uint16), NextToken(10), np.ones(5, np.int64), 4, 100)


def test_held_out_windows_are_spread_over_the_text_and_count_their_bytes():
    tokens = np.arange(1001)
    lengths = np.random.default_rng(0).integers(1, 9, 1001)
    validation = validation_batches(tokens, NextToken(10), lengths, batch_size=8, limit=300)
    targets, inputs = (np.concatenate([batch[name] for batch in validation.batches]) for name in ("targets", "ids"))
    counted = targets[targets != -100]
    assert validation.tokens == len(counted) == 300
    assert validation.text_bytes == lengths[counted].sum()
    assert (counted - inputs[targets != -100] == 1).all()
    assert counted.min() < 50
    assert counted.max() > 950
    assert all(batch["ids"].shape == (8, 10) for batch in validation.batches)
    assert validation_batches(tokens, NextToken(10), lengths, 8, 10**9).tokens == 1000
