"""Training: the merges of a trainer that counts everything anew, whatever the number of workers."""

from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scratchgrad import UserError
from scratchgrad.tools.tokenizer import train_bpe
from scratchgrad.tools.tokenizer.byte_alphabet import BYTE_ORDER
from scratchgrad.tools.tokenizer.patterns import cutter
from tests.tools.tokenizer_texts import SPECIAL, TEXT, mutated


def learnt_naively(texts: list[str], count: int, pattern: str) -> list[tuple[bytes, bytes]]:
    """Count all pairs anew for every merge; of equally frequent pairs take the one with the smaller ids."""
    tokens = [bytes([byte]) for byte in BYTE_ORDER]
    id_of = {token: i for i, token in enumerate(tokens)}
    words = [([id_of[bytes([byte])] for byte in piece.encode()]) for text in texts for piece in cutter(pattern)(text)]
    merges = []
    while len(tokens) < 256 + count:
        pairs = Counter(pair for word in words for pair in pairwise(word))
        if not pairs:
            break
        (left, right), _ = min(pairs.items(), key=lambda item: (-item[1], item[0]))
        spelled = tokens[left] + tokens[right]
        if spelled not in id_of:
            id_of[spelled] = len(tokens)
            tokens.append(spelled)
        merges.append((tokens[left], tokens[right]))
        for word in words:
            i = 0
            while i + 1 < len(word):
                if (word[i], word[i + 1]) == (left, right):
                    word[i : i + 2] = [id_of[spelled]]
                i += 1
    return merges


@given(st.lists(st.text("abc de", max_size=40) | mutated, min_size=1, max_size=6))
def test_the_heap_trainer_learns_what_counting_everything_anew_learns(texts):
    tokenizer = train_bpe(texts, 256 + 20, special_tokens=[])
    learnt = [(tokenizer.tokens[left], tokenizer.tokens[right]) for left, right, _ in tokenizer.merges]
    assert learnt == learnt_naively(texts, 20, "gpt4")


def test_the_result_does_not_depend_on_the_number_of_workers():
    texts = [TEXT[i:] for i in range(0, 200, 3)]
    assert train_bpe(texts, 500, workers=2).fingerprint == train_bpe(texts, 500, workers=1).fingerprint


def test_a_vocabulary_that_the_text_cannot_fill_stays_smaller():
    tokenizer = train_bpe(["abab"], 1000)
    assert tokenizer.vocab_size < 300
    assert tokenizer.encode("abab") == [tokenizer.vocab_size - 1]


def test_text_that_spells_a_special_token_is_not_learnt_as_one():
    tokenizer = train_bpe(["pad pad pad padding"] * 50, 300, special_tokens=["pad"])
    assert tokenizer.special_tokens["pad"] not in tokenizer.encode("pad")
    assert tokenizer.decode(tokenizer.encode("pad padding")) == "pad padding"


@pytest.mark.parametrize(("changes", "words"), [
    ({"vocab_size": 258}, "bytes and special tokens alone are 259"),
    ({"special_tokens": ["a", "a"]}, "not all different"),
    ({"pattern": "("}, "is not a regular expression"),
])  # fmt: skip
def test_training_refuses_what_cannot_be(changes, words):
    with pytest.raises(UserError, match=words):
        train_bpe([TEXT], **{"vocab_size": 300, "special_tokens": SPECIAL, **changes})
