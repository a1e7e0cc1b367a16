"""Pairs of texts: batches that are filled up, with a part validation."""

import numpy as np
import pytest

from scratchgrad import UserError
from scratchgrad.tools.data import TextLayout, TokenStore, prepare, train_validation_split, write_token_store
from scratchgrad.tools.text import build_source
from scratchgrad.train.data import PairBatches, Pairs, validation_pairs

FIELDS = ("source", "target")


def pair_encoder(tokenizer):
    layout = TextLayout(tokenizer)
    return lambda example: layout.source_and_target(example.text("source"), example.text("target"))


def prepared(cache, validation=0.2):
    return prepare(
        [build_source("reverse", pairs=300)], cache, fields=FIELDS, encoder=pair_encoder, encoding="pair",
        validation=validation, vocab_size=300, pattern="gpt4", tokenizer_path=None, special_tokens=("<pad>",),
        say=lambda _: None,
    )  # fmt: skip


def test_batches_hold_the_pairs_filled_up_with_a_mask(tmp_path):
    done = prepared(tmp_path)
    tokenizer = done.tokenizer
    pairs = Pairs(done.train[0], tokenizer, context=20)
    made = list(build_source("reverse", pairs=300).examples())
    sides = train_validation_split(made, 0.2, FIELDS).sides(made)
    wanted = [(example.text("source"), example.text("target")) for held, example in sides if not held]
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
    done = prepared(tmp_path)
    pairs = Pairs(done.train[0], done.tokenizer, context=20)
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
    done = prepared(tmp_path, 0.3)
    pairs = Pairs(done.validation[0], done.tokenizer, context=20)
    whole = validation_pairs(pairs, 8, limit=10**9)
    assert (whole.tokens, whole.text_bytes) == (pairs.target_tokens, None)
    rows = [row for batch in whole.batches for row in stripped(batch)]
    assert rows[: len(pairs)] == stripped(pairs.batch(range(len(pairs))))
    assert all(row == ([], []) for row in rows[len(pairs) :])
    some = validation_pairs(pairs, 8, limit=pairs.target_tokens // 3)
    assert some.tokens == pytest.approx(pairs.target_tokens / 3, rel=0.2)
    assert all(len(batch["ids"]) == 8 for batch in whole.batches + some.batches)


def test_pairs_that_do_not_fit_are_told(tmp_path):
    done = prepared(tmp_path)
    with pytest.raises(
        UserError, match=r"\d+ of \d+ pairs are longer than train.context = 6 tokens; the longest text has"
    ):
        Pairs(done.train[0], done.tokenizer, context=6)
    with write_token_store(tmp_path / "none", 300):
        pass
    with pytest.raises(UserError, match="there is no pair to train on, or none for validation"):
        Pairs(TokenStore(tmp_path / "none"), done.tokenizer, context=6)
