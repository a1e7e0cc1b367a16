"""Training: the merges of a trainer that counts everything anew, whatever the number of workers."""

from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scratchgrad import UserError
from scratchgrad.tools.tokenizer import blocks, train_bpe
from scratchgrad.tools.tokenizer.byte_alphabet import BYTE_ORDER
from scratchgrad.tools.tokenizer.counting import LONGEST_PIECE, count_pieces
from scratchgrad.tools.tokenizer.patterns import PATTERNS, cutter
from scratchgrad.tools.tokenizer.report import report_on
from tests.tools.tokenizer_texts import SPECIAL, TEXT, any_text, mutated


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


@given(st.lists(st.text("abc de", max_size=40) | st.text("ab", max_size=40) | mutated, min_size=1, max_size=6))
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


@given(st.lists(any_text | mutated, max_size=5).map("".join), st.integers(1, 30), st.integers(1, 9))
def test_blocks_depend_on_the_text_alone_and_no_piece_lies_across_their_ends(text, size, step):
    chunks = [text[i : i + step] for i in range(0, len(text), step)]
    found = list(blocks.blocks(chunks, size))
    assert found == list(blocks.blocks_of_text(text, size))
    assert "".join(found) == text
    assert all(size <= len(block) <= 2 * size for block in found[:-1])
    if all(len(block) < 2 * size for block in found[:-1]):  # else there was no border, and a block was simply full
        for pattern in PATTERNS:
            pieces = [piece for block in found for piece in cutter(pattern)(block)]
            assert pieces == cutter(pattern)(text)


def test_counts_do_not_depend_on_workers_when_the_rarest_pieces_are_dropped():
    texts = [f"{TEXT} word{i // 3} number{i % 50} " * 2 for i in range(300)]
    results = [count_pieces(texts, "gpt4", workers, most=120, shard=2000) for workers in (1, 2, 3)]
    assert results[0] == results[1] == results[2]
    assert list(results[0].counts) == list(results[2].counts)
    exact = count_pieces(texts, "gpt4").counts
    assert len(exact) > 120 >= len(results[0].counts)
    assert all(count <= exact[piece] for piece, count in results[0].counts.items())
    assert results[0].counts[" the"] == exact[" the"], "what is frequent is never dropped"
    assert results[0].text_bytes == sum(len(text.encode()) for text in texts)


def test_pieces_that_are_too_long_are_not_learnt_from():
    counts = count_pieces(["a" * LONGEST_PIECE, "b" * (LONGEST_PIECE + 1), "c \ud800"], "gpt4")
    assert set(counts.counts) == {"a" * LONGEST_PIECE, "c", " \ufffd"}
    assert counts.counted_bytes == counts.text_bytes - LONGEST_PIECE - 1


def test_the_report_tells_what_encoding_the_text_would():
    tokenizer = train_bpe([TEXT] * 3, 330)
    report = report_on(tokenizer, count_pieces([TEXT] * 2, "gpt4").counts)
    ids = tokenizer.encode(TEXT)
    assert (report.tokens, report.text_bytes) == (2 * len(ids), 2 * len(TEXT.encode()))
    assert report.bytes_per_token == len(TEXT.encode()) / len(ids)
    assert report.used == len(set(ids))
    assert len(report.longest[0]) == max(map(len, tokenizer.tokens[1:]))
    token, count = report.rarest[0]
    assert 2 * ids.count(tokenizer.tokens.index(token)) == count
    assert count == min(2 * ids.count(i) for i in range(257, tokenizer.vocab_size))


def test_progress_is_heard_of():
    heard = []
    count_pieces([TEXT] * 9, "gpt4", shard=500, progress=heard.append)
    assert heard == sorted(heard)
    assert heard[-1] == 9 * len(TEXT.encode())
