"""Masked tokens and next sentences: which are asked for, what is done to them, and that a row depends on its number alone."""

import numpy as np
import pytest

from scratchgrad import UserError
from scratchgrad.tools.tokenizer import train_bpe
from scratchgrad.train.data import MaskedNextSentence, MaskedTokens, TrainBatches, validation_batches

TOKENIZER = train_bpe(["a cat sat on a mat"], 300, special_tokens=("<|endoftext|>", *MaskedTokens.special_tokens))
SPECIAL = np.array(list(TOKENIZER.special_tokens.values()))
CLS, SEP, MASK = (TOKENIZER.special_tokens[name] for name in ("[CLS]", "[SEP]", "[MASK]"))
CONTEXT, ROWS = 128, 2000
# Of 37,000 tokens that are asked for: five standard deviations of a share of 80 % are 1 %, of 10 % they are 0.8 %.
TOLERANCE = 0.01

rng = np.random.default_rng(0)
TEXT = rng.integers(0, TOKENIZER.vocab_size, ROWS * CONTEXT).astype(np.uint16)  # special tokens among them


def windows(objective, count: int = ROWS) -> np.ndarray:
    return TEXT[: count * objective.window].reshape(count, -1).astype(np.int64)


@pytest.fixture(scope="module")
def tokens():
    return MaskedTokens(CONTEXT, TOKENIZER, seed=3)


@pytest.fixture(scope="module")
def pairs():
    return MaskedNextSentence(CONTEXT, TOKENIZER, 3, TEXT)


def as_it_was(rows) -> np.ndarray:
    return np.where(rows["targets"] == -100, rows["ids"], rows["targets"])


def test_of_the_tokens_15_percent_are_asked_for_and_of_those_80_hidden_10_exchanged_10_left(tokens):
    given = windows(tokens)
    rows = tokens.rows(given, range(ROWS))
    asked = rows["targets"] != -100
    text = np.pad(given, ((0, 0), (1, 1)), constant_values=((0, 0), (CLS, SEP)))
    ordinary = ~np.isin(text, SPECIAL)
    assert asked.sum() / ordinary.sum() == pytest.approx(
        0.15, abs=0.002
    )  # half a token in 124 is as far as rounding goes
    assert (abs(asked.sum(axis=1) - 0.15 * ordinary.sum(axis=1)) <= 0.5).all(), "in every row, not only in the mean"
    ids, were = rows["ids"][asked], text[asked]
    assert (ids == MASK).mean() == pytest.approx(0.8, abs=TOLERANCE)
    assert ((ids != MASK) & (ids != were)).mean() == pytest.approx(0.1, abs=TOLERANCE)
    assert (ids == were).mean() == pytest.approx(0.1, abs=TOLERANCE)
    assert np.array_equal(as_it_was(rows), text), (
        "targets are what stood there, and what is not asked for stands there still"
    )
    assert not (asked & ~ordinary).any(), "no special token is asked for"
    assert not np.isin(ids[ids != MASK], SPECIAL).any(), "and none stands in for another token"
    where = asked.mean(axis=0)[1:-1]
    assert abs(where - where.mean()).max() < 5 * np.sqrt(0.15 * 0.85 / ROWS), "all places alike"


def test_what_stands_in_for_another_token_may_be_any_ordinary_one(tokens):
    rows = tokens.rows(windows(tokens), range(ROWS))
    stand_ins = rows["ids"][(rows["targets"] != -100) & (rows["ids"] != MASK)]
    assert set(stand_ins.tolist()) == set(range(TOKENIZER.vocab_size)) - set(SPECIAL.tolist())


def test_a_row_depends_on_the_seed_and_its_number_alone(tokens, pairs):
    for objective in (tokens, pairs):
        given = windows(objective, 8)
        whole = objective.rows(given, range(40, 48))
        for first, last in ((6, 8), (0, 2), (3, 7)):
            part = objective.rows(given[first:last], range(40 + first, 40 + last))
            assert part.keys() == whole.keys()
            assert all(np.array_equal(part[name], whole[name][first:last]) for name in part)
    given = windows(tokens, 8)
    first, other_number, other_seed = (
        tokens.rows(given, range(8)), tokens.rows(given, range(8, 16)), MaskedTokens(CONTEXT, TOKENIZER, 4).rows(given, range(8)),
    )  # fmt: skip
    assert not np.array_equal(first["targets"], other_number["targets"])
    assert not np.array_equal(first["targets"], other_seed["targets"])


def test_ranks_that_share_a_step_make_the_rows_of_one_that_does_not(pairs):
    one, two = (TrainBatches(TEXT, pairs, 8, seed=5) for _ in range(2))
    for step in (700, 2):  # 700: in a later epoch
        whole = one.rows(step, 0, 8)
        parts = [two.rows(step, first, first + 2) for first in (4, 0, 6, 2)]
        for name, array in whole.items():
            assert np.array_equal(array, np.concatenate([parts[i][name] for i in (1, 3, 0, 2)]))


def test_half_of_the_second_texts_follow_the_first_and_the_others_stand_elsewhere(pairs):
    given = windows(pairs)
    rows = pairs.rows(given, range(ROWS))
    follows = rows["next_sentence_targets"] == 0
    assert follows.mean() == pytest.approx(0.5, abs=5 * 0.5 / np.sqrt(ROWS))
    text, types, cuts = as_it_was(rows), rows["token_types"], []
    everything = TEXT.tobytes()
    for row in range(ROWS):
        cut = int((types[row] == 0).sum()) - 2
        cuts.append(cut)
        second = text[row, cut + 2 : -1]
        assert types[row].tolist() == [0] * (cut + 2) + [1] * (CONTEXT - cut - 2)
        assert (text[row, 0], text[row, cut + 1], text[row, -1]) == (CLS, SEP, SEP)
        assert np.array_equal(text[row, 1 : cut + 1], given[row, :cut])
        assert np.array_equal(second, given[row, cut:]) == follows[row]
        assert everything.count(second.astype(TEXT.dtype).tobytes()) == 1
    assert (min(cuts), max(cuts)) == (125 // 4, 125 - 125 // 4 - 1)
    assert not np.isin(np.flatnonzero(rows["targets"][0] != -100), [0, cuts[0] + 1, CONTEXT - 1]).any()


def test_a_text_that_is_found_elsewhere_but_is_what_follows_counts_as_what_follows():
    same = np.full(1000, 50)
    objective = MaskedNextSentence(16, TOKENIZER, 0, same)
    rows = objective.rows(same[: 20 * 13].reshape(20, 13), range(20))
    assert not rows["next_sentence_targets"].any()


def test_rows_that_only_fill_a_batch_up_ask_for_nothing(pairs):
    validation = validation_batches(TEXT, pairs, TOKENIZER.byte_lengths, batch_size=8, limit=11 * pairs.stride)
    assert [len(batch["ids"]) for batch in validation.batches] == [8, 8]
    last = validation.batches[-1]
    assert (last["targets"][3:] == -100).all()
    assert last["next_sentence_targets"].tolist()[3:] == [-100] * 5
    assert validation.tokens == sum((batch["targets"] != -100).sum() for batch in validation.batches)
    assert validation.text_bytes is None, "a share of the tokens spells no text"


def test_a_window_of_special_tokens_asks_for_nothing_and_one_of_few_tokens_for_one(tokens):
    ids = np.full((2, tokens.window), TOKENIZER.end_of_text)
    ids[1, :3] = 50
    asked = tokens.rows(ids, range(2))["targets"] != -100
    assert asked.sum(axis=1).tolist() == [0, 1]


@pytest.mark.parametrize("kind", [MaskedTokens, MaskedNextSentence])
def test_a_context_without_room_is_told(kind):
    with pytest.raises(UserError, match=r"train.context = 7 is too short to hide tokens in; it needs 8 or more"):
        kind.of(7, TEXT, TOKENIZER, 0)
    smallest = kind.of(8, TEXT, TOKENIZER, 0)
    assert smallest.rows(windows(smallest, 9), range(9))["ids"].shape == (9, 8)
