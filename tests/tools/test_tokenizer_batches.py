"""What the rest of a program asks of a tokenizer: batches, offsets, pairs, padding, threads, a cache that has an end."""

import time
import unicodedata
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scratchgrad import UserError
from scratchgrad.tools import tokenizer as tokenizers
from scratchgrad.tools.tokenizer import cache as caches
from scratchgrad.tools.tokenizer import normal_forms, pad, train_bpe, truncate
from tests.tools.tokenizer_texts import SPECIAL, TEXT, any_text, load, mutated

small = train_bpe([TEXT] * 3, 400, special_tokens=SPECIAL)


@given(any_text | mutated)
def test_offsets_lie_in_a_row_and_cover_the_text(text):
    ids, offsets = small.encode_with_offsets(text, ["<|user|>"])
    assert ids == small.encode(text, ["<|user|>"])
    assert len(offsets) == len(ids)
    place = 0
    for token, (start, end) in zip(ids, offsets, strict=True):
        assert start in (place, place - 1)
        assert start < end
        place = end
        assert small.tokens[token] in text[start:end].encode()
    assert place == len(text)


@pytest.mark.parametrize("name", ["spm/llama2.model", "spm/t5_base.model", "wordpiece/bert_base_uncased_vocab.txt"])
def test_offsets_point_at_the_words_of_the_text_as_it_came(data_folder, name):
    tokenizer = load(data_folder / "03_tokenizers" / name)
    text = "Café  naïve ﬁn 東京 e\u0301 x\u0301 end"
    ids, offsets = tokenizer.encode_with_offsets(text)
    assert ids == tokenizer.encode(text)
    for word in ("Caf", "na", "京", "end"):
        start = text.index(word)
        inside = [span for span in offsets if span[0] < start + len(word) and span[1] > start]
        assert inside, word
        assert min(inside)[0] in (start, start - 1)
    assert all(a[0] <= b[0] for a, b in pairwise(offsets))
    assert offsets[-1][1] == len(text)


def test_offsets_of_a_unigram_text_whose_blanks_and_letters_change(data_folder):
    t5 = load(data_folder / "03_tokenizers" / "spm" / "t5_base.model")
    ids, offsets = t5.encode_with_offsets("  ﬁve\u0001  cafe\u0301 ")
    assert [t5.spelled[i] for i in ids] == ["▁five", "▁café"]
    assert offsets == [(2, 5), (6, 13)]


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_a_batch_is_its_texts_whatever_the_number_of_workers(workers):
    texts = [TEXT[i : i + 50] for i in range(0, 250, 7)] + ["", "<|user|>"]
    assert small.encode_batch(texts, workers, ["<|user|>"]) == [small.encode(text, ["<|user|>"]) for text in texts]


def test_rows_are_padded_on_either_side():
    batch = pad([[1, 2, 3], [], [4]], 9)
    assert batch.ids.tolist() == [[1, 2, 3], [9, 9, 9], [4, 9, 9]]
    assert batch.mask.tolist() == [[True] * 3, [False] * 3, [True, False, False]]
    left = pad([[1, 2, 3], [4]], 9, length=4, side="left")
    assert left.ids.tolist() == [[9, 1, 2, 3], [9, 9, 9, 4]]
    assert np.array_equal(left.mask, left.ids != 9)
    assert pad([], 0).ids.shape == (0, 0)
    with pytest.raises(UserError, match="a text has 3 tokens, and rows of 2 were asked for"):
        pad([[1, 2, 3]], 0, length=2)
    with pytest.raises(UserError, match="not 'top'"):
        pad([[1]], 0, side="top")


@given(st.lists(st.integers(0, 9), max_size=9), st.integers(0, 12))
def test_truncation_keeps_one_end(ids, length):
    assert truncate(ids, length) == ids[:length]
    assert truncate(ids, length, side="left") == ids[max(0, len(ids) - length) :]
    with pytest.raises(UserError, match="must not be negative"):
        truncate(ids, -1)


def test_a_template_that_does_not_fit_says_so(tmp_path):
    path = tmp_path / "vocab.txt"
    path.write_text("[UNK]\n[CLS]\n[SEP]\na\n")
    bert = tokenizers.load(path)
    assert bert.encode_pair("a a a", "a", 5).ids == [1, 3, 2, 3, 2]
    with pytest.raises(UserError, match="max_length 2 leaves no room for the 3 tokens of the template"):
        bert.encode_pair("a", "a", 2)


def test_threads_may_share_a_tokenizer_whose_cache_is_always_full(monkeypatch):
    monkeypatch.setattr(caches, "MOST_PIECES", 5)
    tokenizer = train_bpe([TEXT] * 3, 400)
    texts = [TEXT[i:] for i in range(60)]
    wanted = [small_ids(tokenizer, text) for text in texts]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(tokenizer.encode, texts)) == wanted
    assert len(tokenizer._cache) <= 5 + 8


def small_ids(tokenizer, text):
    return [i for piece in tokenizer.pieces(text) for i in tokenizer.encode_piece(piece)]


def test_long_pieces_are_not_kept():
    tokenizer = train_bpe([TEXT] * 3, 400)
    tokenizer.encode("x" * (caches.LONGEST_PIECE + 1) + " y")
    assert set(tokenizer._cache) == {" y"}


def test_a_list_of_ids_is_the_callers_own():
    first = small.encode("the text")
    first.append(7)
    assert small.encode("the text") == first[:-1]


@pytest.mark.parametrize("name", ["spm/llama2.model", "spm/t5_base.model", "wordpiece/bert_base_uncased_vocab.txt"])
def test_text_is_never_special_and_streams_as_it_decodes(data_folder, name):
    tokenizer = load(data_folder / "03_tokenizers" / name)
    special = set(tokenizer.special_tokens.values()) - {getattr(tokenizer, "unknown", None)}

    @given(mutated)
    def holds(text):
        ids = tokenizer.encode(text)
        assert not special & set(ids)
        decoder = tokenizer.stream_decoder()
        assert "".join(map(decoder.feed, ids)) + decoder.finish() == tokenizer.decode(ids)
        allowed = tokenizer.encode(text, tokenizer.special_tokens)
        assert [i for i in allowed if i in special] == [tokenizer.special_tokens[t] for t in found(text, tokenizer)]

    holds()


def found(text, tokenizer):
    """Special tokens in the text, from left to right; none of these begins inside another."""
    hits = [(i, t) for t in tokenizer.special_tokens for i in range(len(text)) if text.startswith(t, i)]
    return [t for _, t in sorted(hits) if tokenizer.special_tokens[t] != tokenizer.unknown]


MARKS = st.text(
    st.sampled_from(
        "\uff76\uff9e\uff9f\u3131\u3133\u314fae\u0301\u0316\u0327\u0334\u0344\u05b0\u1e69\u0f73\uac00\u11a8"
    ),
    max_size=60,
)


@given(MARKS | any_text | mutated, st.sampled_from(["NFC", "NFD", "NFKC", "NFKD"]))
def test_normal_forms_are_pythons_with_and_without_where_characters_came_from(text, form):
    assert normal_forms.normalized(form, text) == unicodedata.normalize(form, text)
    traced = normal_forms.traced_form(form, text)
    assert traced.text == unicodedata.normalize(form, text)
    for i, (start, end) in enumerate(zip(traced.starts, traced.ends, strict=True)):
        assert traced.text[i] in unicodedata.normalize(form, text[start:end])


@pytest.mark.parametrize("name", ["spm/llama2.model", "spm/t5_base.model", "wordpiece/bert_base_uncased_vocab.txt"])
@pytest.mark.parametrize("text", ["a", " ", "\u2581", "\u4e00", "\u0301\u0316", "x "])
def test_long_texts_of_one_kind_take_time_in_proportion(data_folder, name, text):
    tokenizer = load(data_folder / "03_tokenizers" / name)
    seconds = []
    for size in (5_000, 40_000):
        began = time.process_time()
        tokenizer.encode(text * size)
        seconds.append(time.process_time() - began)
    assert seconds[1] < 24 * seconds[0] + 0.1, "eight times the text: 64 times the time would be quadratic"
