"""Masked tokens and next sentences: which are asked for, what is done to them, and that a row depends on its number alone."""

import numpy as np
import pytest

from scratchgrad import UserError
from scratchgrad.models import BertConfig
from scratchgrad.tools.data import TextLayout
from scratchgrad.tools.tokenizer import train_bpe
from scratchgrad.train.batches import WindowBatches, in_full_batches
from scratchgrad.train.objectives import objectives
from tests.train.objectives.small import text_store, windows_of

MaskedLM, NextSentence = objectives()["masked_lm"], objectives()["masked_lm_next_sentence"]
TOKENIZER = train_bpe(["a cat sat on a mat"], 300, special_tokens=("<|endoftext|>", *MaskedLM.special_tokens))
CONFIG = BertConfig(
    vocab_size=300, hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8,
    max_position_embeddings=128,
)  # fmt: skip
SPECIAL = np.array(list(TOKENIZER.special_tokens.values()))
CLS, SEP, MASK = (TOKENIZER.special_tokens[name] for name in ("[CLS]", "[SEP]", "[MASK]"))
CONTEXT, ROWS = 128, 2000
# Of 37,000 tokens that are asked for: five standard deviations of a share of 80 % are 1 %, of 10 % they are 0.8 %.
TOLERANCE = 0.01

rng = np.random.default_rng(0)
TEXT = rng.integers(0, TOKENIZER.vocab_size, ROWS * CONTEXT).astype(np.uint16)  # special tokens among them


def objective(kind, context: int = CONTEXT, seed: int = 3):
    return kind(TextLayout(TOKENIZER), CONFIG, context=context, seed=seed)


def windows(kind, numbers=range(ROWS), context: int = CONTEXT, text: np.ndarray = TEXT):
    return windows_of(text, context - (3 if isinstance(kind, NextSentence) else 2), numbers)


def ids_of(given) -> np.ndarray:
    return np.stack([window.ids for window in given])


@pytest.fixture(scope="module")
def tokens():
    return objective(MaskedLM)


@pytest.fixture(scope="module")
def pairs():
    return objective(NextSentence)


def as_it_was(rows) -> np.ndarray:
    return np.where(rows["targets"] == -100, rows["input_ids"], rows["targets"])


def test_of_the_tokens_15_percent_are_asked_for_and_of_those_80_hidden_10_exchanged_10_left(tokens):
    given = windows(tokens)
    rows = tokens.batch(given)
    asked = rows["targets"] != -100
    text = np.pad(ids_of(given), ((0, 0), (1, 1)), constant_values=((0, 0), (CLS, SEP)))
    ordinary = ~np.isin(text, SPECIAL)
    assert asked.sum() / ordinary.sum() == pytest.approx(
        0.15, abs=0.002
    )  # half a token in 124 is as far as rounding goes
    assert (abs(asked.sum(axis=1) - 0.15 * ordinary.sum(axis=1)) <= 0.5).all(), "in every row, not only in the mean"
    ids, were = rows["input_ids"][asked], text[asked]
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
    rows = tokens.batch(windows(tokens))
    stand_ins = rows["input_ids"][(rows["targets"] != -100) & (rows["input_ids"] != MASK)]
    assert set(stand_ins.tolist()) == set(range(TOKENIZER.vocab_size)) - set(SPECIAL.tolist())


def test_a_row_depends_on_the_seed_and_its_number_alone(tokens, pairs):
    for kind in (tokens, pairs):
        given = [window._replace(number=40 + i) for i, window in enumerate(windows(kind, range(8)))]
        whole = kind.batch(given)
        for first, last in ((6, 8), (0, 2), (3, 7)):
            part = kind.batch(given[first:last])
            assert part.keys() == whole.keys()
            assert all(np.array_equal(part[name], whole[name][first:last]) for name in part)
    given = windows(tokens, range(8))
    first, other_number, other_seed = (
        tokens.batch(given), tokens.batch([window._replace(number=window.number + 8) for window in given]),
        objective(MaskedLM, seed=4).batch(given),
    )  # fmt: skip
    assert not np.array_equal(first["targets"], other_number["targets"])
    assert not np.array_equal(first["targets"], other_seed["targets"])


def test_half_of_the_second_texts_follow_the_first_and_the_others_stand_elsewhere(pairs):
    given = windows(pairs)
    rows = pairs.batch(given)
    follows = rows["next_sentence_targets"] == 0
    assert follows.mean() == pytest.approx(0.5, abs=5 * 0.5 / np.sqrt(ROWS))
    text, types, cuts = as_it_was(rows), rows["token_type_ids"], []
    everything = TEXT.tobytes()
    for row in range(ROWS):
        cut = int((types[row] == 0).sum()) - 2
        cuts.append(cut)
        second = text[row, cut + 2 : -1]
        assert types[row].tolist() == [0] * (cut + 2) + [1] * (CONTEXT - cut - 2)
        assert (text[row, 0], text[row, cut + 1], text[row, -1]) == (CLS, SEP, SEP)
        assert np.array_equal(text[row, 1 : cut + 1], given[row].ids[:cut])
        assert np.array_equal(second, given[row].ids[cut:]) == follows[row]
        assert everything.count(second.astype(TEXT.dtype).tobytes()) == 1
    assert (min(cuts), max(cuts)) == (125 // 4, 125 - 125 // 4 - 1)
    assert not np.isin(np.flatnonzero(rows["targets"][0] != -100), [0, cuts[0] + 1, CONTEXT - 1]).any()


def test_a_text_that_is_found_elsewhere_but_is_what_follows_counts_as_what_follows():
    same, kind = np.full(1000, 50), objective(NextSentence, context=16)
    rows = kind.batch(windows(kind, range(20), 16, same))
    assert not rows["next_sentence_targets"].any()


def test_rows_that_only_fill_a_batch_up_ask_for_nothing(pairs, tmp_path):
    batches = pairs.batches([text_store(tmp_path / "validation-0", TEXT)], [1.0])
    assert isinstance(batches, WindowBatches)
    filled = in_full_batches(batches.sample(limit=11 * (CONTEXT - 3)), 8, pairs.batch_fields)
    assert [len(batch["input_ids"]) for batch in filled] == [8, 8]
    last = filled[-1]
    assert (last["targets"][3:] == -100).all()
    assert last["next_sentence_targets"].tolist()[3:] == [-100] * 5
    assert not pairs.reports_bits_per_byte, "a share of the tokens spells no text"


def test_a_window_of_special_tokens_asks_for_nothing_and_one_of_few_tokens_for_one(tokens):
    ids = np.full((2, CONTEXT - 2), TOKENIZER.end_of_text)
    ids[1, :3] = 50
    asked = tokens.batch(windows_of(ids.ravel(), CONTEXT - 2, range(2)))["targets"] != -100
    assert asked.sum(axis=1).tolist() == [0, 1]


@pytest.mark.parametrize("kind", [MaskedLM, NextSentence])
def test_a_context_without_room_is_told(kind):
    with pytest.raises(UserError, match=r"train.context = 7 is too short to mask tokens in; it needs 8 or more"):
        objective(kind, context=7)
    smallest = objective(kind, context=8)
    assert smallest.batch(windows(smallest, range(9), 8))["input_ids"].shape == (9, 8)
