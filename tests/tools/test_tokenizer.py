"""The tokenizer against plain restatements of what it does, against GPT-2's own ids, and against text of every kind."""

import pickle
import random
import time
import tracemalloc
from functools import cache
from itertools import pairwise
from unittest import mock

import numpy as np
import pytest
import regex
from hypothesis import given
from hypothesis import strategies as st

from scratchgrad import UserError
from scratchgrad.tools.tokenizer import PATTERNS, ByteLevelBPE, Tokenizer, base, patterns, train_bpe
from scratchgrad.tools.tokenizer.added_tokens import AddedToken
from scratchgrad.tools.tokenizer.merging import LONG, Merger, recover_merges
from scratchgrad.tools.tokenizer.metaspace import MetaspaceBPE
from scratchgrad.tools.tokenizer.patterns import cutter
from scratchgrad.tools.tokenizer.wordpiece import WordPiece
from tests.tools.tokenizer_texts import SPECIAL, TEXT, any_text, mutated

small = train_bpe([TEXT] * 3, 400, special_tokens=SPECIAL)
like_the_text = st.lists(st.sampled_from([*TEXT.split(" "), " ", "\n", "\t", *SPECIAL, "é", "🙂"]), max_size=20).map(
    "".join
)


def merged_naively(tokenizer: ByteLevelBPE, text: str) -> list[int]:
    """Byte pairs by the book: look at all pairs, merge the earliest learnt one everywhere, until none is left."""
    rank = {(left, right): (i, merged) for i, (left, right, merged) in enumerate(tokenizer.merges)}
    special = set(tokenizer.special_tokens.values())
    byte_id = {t[0]: i for i, t in enumerate(tokenizer.tokens) if len(t) == 1 and i not in special}
    ids = []
    for piece in regex.findall(PATTERNS[tokenizer.pattern].published, text):
        word = [byte_id[byte] for byte in piece.encode()]
        while known := [rank[pair] for pair in pairwise(word) if pair in rank]:
            first, merged = min(known)
            left, right, _ = tokenizer.merges[first]
            out = []
            while word:
                if word[:2] == [left, right]:
                    out, word = [*out, merged], word[2:]
                else:
                    out, word = [*out, word[0]], word[1:]
            word = out
        ids += word
    return ids


@given(any_text | mutated)
def test_ids_are_those_of_the_textbook_and_give_the_text_back(text):
    ids = small.encode(text)
    assert ids == merged_naively(small, text)
    assert small.decode(ids) == text
    assert small.encode_array(text).tolist() == ids


@given(like_the_text)
def test_no_text_becomes_a_special_token_unless_the_caller_allows_that_one(text):
    special = set(small.special_tokens.values())
    assert not special & set(small.encode(text))
    allowed = small.encode(text, allowed_special=["<|user|>"])
    assert allowed.count(small.special_tokens["<|user|>"]) == text.count("<|user|>")
    assert not (special - {small.special_tokens["<|user|>"]}) & set(allowed)
    assert small.decode(allowed) == text


@given(any_text | mutated, st.sampled_from(sorted(PATTERNS)))
def test_the_faster_spelling_of_a_pattern_cuts_where_the_published_one_cuts(text, name):
    want = regex.findall(PATTERNS[name].published, text)
    assert cutter(name)(text) == want
    with mock.patch.multiple(patterns, STRETCH=1, RARE=1):  # every border is used
        assert cutter(name)(text) == want


@given(any_text, st.sampled_from([r"\d+", r"(\w)\w*", r"(?=x)", r"\s|a|$"]))
def test_what_the_users_own_pattern_does_not_match_is_kept(text, pattern):
    assert "".join(cutter(pattern)(text)) == text


@given(st.lists(st.integers(0, 3), max_size=3 * LONG), st.integers(0, 2**32 - 1))
def test_the_heap_for_long_pieces_merges_as_the_scan_for_short_ones(ids, seed):
    rng = random.Random(seed)
    pairs = {(rng.randrange(9), rng.randrange(9)) for _ in range(12)}
    merges = [(*pair, rng.randrange(9)) for pair in sorted(pairs)]
    merger = Merger(merges, [rng.randrange(6) for _ in merges])  # equal ranks: the leftmost pair comes first
    assert merger._by_heap(list(ids)) == merger._by_scan(list(ids))


def merged_by_rank(ranks: dict[str, int], word: str) -> list[str]:
    """tiktoken's rule: merge the leftmost neighbours that spell the token of the lowest rank."""
    parts = list(word)
    while known := [
        (ranks[left + right], i) for i, (left, right) in enumerate(pairwise(parts)) if left + right in ranks
    ]:
        _, i = min(known)
        parts[i : i + 2] = [parts[i] + parts[i + 1]]
    return parts


@given(
    st.lists(st.text("abc", min_size=2, max_size=5), max_size=12, unique=True),
    st.lists(st.text("abc", max_size=12), max_size=20),
    st.data(),
)
def test_recovered_merges_do_what_ranks_alone_say_for_any_vocabulary(tokens, words, data):
    ranks = {token: data.draw(st.integers(0, 9)) for token in tokens}  # equal ones, and long before short ones
    ids = {token: i for i, token in enumerate(["a", "b", "c", *tokens])}
    merges, merge_ranks, unmade = recover_merges(([ids[c] for c in t], ids[t], ranks[t]) for t in tokens)
    merger = Merger(merges, merge_ranks)
    for word in [*words, *tokens]:
        wanted = merged_by_rank(ranks, word)
        assert merger.merge([ids[c] for c in word]) == [ids[part] for part in wanted]
    for token in tokens:
        assert (ids[token] in unmade) == (merged_by_rank(ranks, token) != [token])


@given(mutated, mutated, st.sampled_from(sorted(PATTERNS)))
def test_text_may_be_encoded_in_chunks_that_end_where_a_piece_must(first, second, pattern):
    """No piece of any pattern holds a letter or a digit and then white space, nor looks back at what came before."""
    tokenizer = of_pattern(pattern)
    first += "a"
    second = "\n" + second
    assert tokenizer.encode(first) + tokenizer.encode(second) == tokenizer.encode(first + second)


@cache
def of_pattern(pattern):
    return train_bpe([TEXT] * 3, 400, pattern=pattern)


@given(any_text | mutated, st.sampled_from(sorted(PATTERNS)))
def test_joined_ids_of_pieces_are_the_ids(text, pattern):
    tokenizer = of_pattern(pattern)
    pieces = tokenizer.pieces(text)
    assert "".join(pieces) == text
    assert [
        i for piece in pieces for i in tokenizer.merger.merge([tokenizer.byte_ids[b] for b in piece.encode()])
    ] == tokenizer.encode(text)


def test_a_lone_surrogate_becomes_the_replacement_character_and_a_pair_its_character():
    assert small.decode(small.encode("a\ud800b")) == "a\ufffdb"
    assert small.decode(small.encode("\ud83d\ude42")) == "🙂"


@pytest.mark.parametrize("character", ["a", "\0", "\n", " ", "é", "🙂", "\u0301"])
def test_a_hundred_thousand_equal_characters_are_not_quadratic(character):
    text = character * 100_000
    for pattern in PATTERNS:
        began = time.process_time()
        ids = of_pattern(pattern).encode(text)
        assert time.process_time() - began < 3
        assert of_pattern(pattern).decode(ids) == text


def test_a_pattern_of_the_users_own_that_tries_for_ever_is_stopped(monkeypatch):
    monkeypatch.setattr(patterns, "PATIENCE", 0.2)
    slow = train_bpe([], 300, pattern=r"(?:x|xx)+(?:y|zz)")
    with pytest.raises(UserError, match=r"took more than 0 s for a text of 60 characters: it tries too many ways"):
        slow.encode("x" * 60)


def test_every_block_of_unicode_comes_back():
    blocks = ["".join(map(chr, range(start, start + 256))) for start in range(0, 0x110000, 256) if start >> 11 != 0x1B]
    for pattern in PATTERNS:
        tokenizer = of_pattern(pattern)
        assert all(tokenizer.decode(tokenizer.encode(block)) == block for block in blocks[::8])


@given(any_text | mutated)
def test_streamed_text_never_holds_half_a_character(text):
    decoder = small.stream_decoder()
    pieces = [decoder.feed(token) for token in small.encode(text)]
    assert decoder.finish() == ""
    assert "".join(pieces) == text


def test_a_character_that_is_never_completed_is_told_at_the_end():
    decoder = small.stream_decoder()
    half = small.encode("🙂")[0] if len(small.encode("🙂")) > 1 else None
    half = half if half is not None else next(i for i, t in enumerate(small.tokens) if t == b"\xf0")
    assert decoder.feed(half) == ""
    assert decoder.finish() == "\ufffd"


def test_byte_lengths_add_up_to_the_text_and_special_tokens_have_none():
    ids = small.encode(TEXT + "<|user|>", allowed_special=["<|user|>"])
    assert small.byte_lengths[ids].sum() == len(TEXT.encode())


def test_ids_outside_the_vocabulary_are_refused():
    for ids in ([-1], [small.vocab_size]):
        with pytest.raises(UserError, match=f"ids go from 0 to {small.vocab_size - 1}"):
            small.decode(ids)


def test_an_unknown_special_token_is_refused_by_name():
    with pytest.raises(UserError, match=r"'<\|system\|>' is not a special token; they are: <\|endoftext\|>"):
        small.encode("x", allowed_special=["<|system|>"])


def test_a_worker_gets_the_tokenizer_without_its_cache():
    small.encode(TEXT)
    again = pickle.loads(pickle.dumps(small))
    assert len(again._cache) == 0
    assert again.encode(TEXT, SPECIAL) == small.encode(TEXT, SPECIAL)


def test_encoding_gives_the_same_array_for_long_texts():
    text = TEXT * 50
    assert np.array_equal(small.encode_array(text), np.array(small.encode(text), np.uint32))


@pytest.mark.parametrize(
    "kind", ["gpt2", "gpt4", "gpt4o", r"\p{L}+|\s+(?=\d)|\d{1,2}", "(?r)[a-z]+", "words", "blanks"]
)
@pytest.mark.parametrize("letter", ["e", "é"])
def test_a_long_text_has_the_same_ids(monkeypatch, kind, letter):
    for module in (base, patterns):
        monkeypatch.setattr(module, "LONG", 5_000)
    text = (TEXT.replace("e", letter) + " 12345  67\n\n\t x" + "a" * 300) * 60
    tokenizer: Tokenizer
    if kind == "words":
        names = ["[UNK]", "[SEP]", *sorted(set(text) - set(" \n\t")), "##e", "##a", "the"]
        tokenizer = WordPiece(names, [AddedToken("[SEP]", 1)], unknown=0, lowercase=False)
    elif kind == "blanks":
        spelled = ["<unk>", "</s>", *sorted(set(text) - set(" "))[:40], "\u2581"]
        tokenizer = MetaspaceBPE(spelled, [], [AddedToken("</s>", 1)], byte_ids=None, unknown=0)
    else:
        tokenizer = train_bpe([TEXT], 400, pattern=kind)
    found = tokenizer.encode_array(text)
    assert found.dtype == np.uint16
    assert found.tolist() == tokenizer.encode(text)


def test_the_pieces_of_a_long_text_are_not_there_all_at_once():
    """As a list they take some twenty times the text."""
    text = (TEXT + "\n") * (4_000_000 // len(TEXT))
    tracemalloc.start()
    try:
        small.encode_array(text)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 30e6 + 8 * len(text)  # those of one stretch, and the ids
