"""The tokenizer against plain restatements of what it does, against GPT-2's own ids, and against text of every kind."""

import json
import pickle
import random
import time
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
import regex
from hypothesis import given
from hypothesis import strategies as st

from scratchgrad import UserError
from scratchgrad.tools import tokenizer as tokenizers
from scratchgrad.tools.tokenizer import PATTERNS, Tokenizer, train_bpe
from scratchgrad.tools.tokenizer.merging import LONG, Merger
from scratchgrad.tools.tokenizer.patterns import cutter

TEXT = """The tokenizer reads the text, and the text reads like this: the cat's hat isn't 12345 hats.
def tokenize(text, *, pattern="gpt4"):\n    return [piece for piece in pattern.findall(text)]\n\n\n
Größe, naïveté, 東京 and 🙂🙂 are text as well; so is the end of the text. They'll they've THEY'RE.
"""
SPECIAL = ("<|endoftext|>", "<|user|>", "pad")
small = train_bpe([TEXT] * 3, 400, special_tokens=SPECIAL)

any_text = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
like_the_text = st.lists(st.sampled_from([*TEXT.split(" "), " ", "\n", "\t", *SPECIAL, "é", "🙂"]), max_size=20).map(
    "".join
)


def merged_naively(tokenizer: Tokenizer, text: str) -> list[int]:
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


@given(any_text | like_the_text)
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


def test_text_that_spells_a_special_token_is_not_learnt_as_one():
    tokenizer = train_bpe(["pad pad pad padding"] * 50, 300, special_tokens=["pad"])
    assert tokenizer.special_tokens["pad"] not in tokenizer.encode("pad")
    assert tokenizer.decode(tokenizer.encode("pad padding")) == "pad padding"


@given(any_text | like_the_text, st.sampled_from(sorted(PATTERNS)))
def test_the_faster_spelling_of_a_pattern_cuts_where_the_published_one_cuts(text, name):
    assert cutter(name)(text) == regex.findall(PATTERNS[name].published, text)


@given(any_text, st.sampled_from([r"\d+", r"(\w)\w*", r"(?=x)", r"\s|a|$"]))
def test_what_the_users_own_pattern_does_not_match_is_kept(text, pattern):
    assert "".join(cutter(pattern)(text)) == text


@given(st.lists(st.integers(0, 3), max_size=3 * LONG), st.integers(0, 2**32 - 1))
def test_the_heap_for_long_pieces_merges_as_the_scan_for_short_ones(ids, seed):
    rng = random.Random(seed)
    pairs = {(rng.randrange(9), rng.randrange(9)) for _ in range(12)}
    merger = Merger(range(256), [(*pair, rng.randrange(9)) for pair in sorted(pairs)])
    assert merger._by_heap(list(ids)) == merger._by_scan(list(ids))


def learnt_naively(texts: list[str], count: int, pattern: str) -> list[tuple[bytes, bytes]]:
    """Count all pairs anew for every merge; of equally frequent pairs take the one with the smaller ids."""
    tokens = [bytes([byte]) for byte in tokenizers.tokenizer.BYTE_ORDER]
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


@given(st.lists(st.text("abc de", max_size=40) | like_the_text, min_size=1, max_size=6))
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


def test_a_lone_surrogate_becomes_the_replacement_character_and_a_pair_its_character():
    assert small.decode(small.encode("a\ud800b")) == "a\ufffdb"
    assert small.decode(small.encode("\ud83d\ude42")) == "🙂"


@pytest.mark.parametrize("character", ["a", "\0", "\n", " ", "é", "🙂", "\u0301"])
def test_a_hundred_thousand_equal_characters_are_not_quadratic(character):
    text = character * 100_000
    began = time.perf_counter()
    ids = small.encode(text)
    assert time.perf_counter() - began < 3
    assert small.decode(ids) == text


@given(any_text | like_the_text)
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
    again = pickle.loads(pickle.dumps(small._merger))
    assert len(again) == 0
    assert again["tokenizer"] == small._merger["tokenizer"]


@pytest.mark.parametrize("pattern", ["gpt2", "gpt4", r"\w+|\W"])
def test_tokenizer_json_keeps_everything(tmp_path, pattern):
    tokenizer = train_bpe([TEXT], 350, pattern=pattern, special_tokens=SPECIAL)
    tokenizers.save(tokenizer, tmp_path)
    again = tokenizers.load(tmp_path / "tokenizer.json")
    assert again.fingerprint == tokenizer.fingerprint
    assert again.encode(TEXT) == tokenizer.encode(TEXT)


@pytest.mark.parametrize(("changes", "words"), [
    ({"vocab_size": 258}, "bytes and special tokens alone are 259"),
    ({"special_tokens": ["a", "a"]}, "not all different"),
    ({"pattern": "("}, "is not a regular expression"),
])  # fmt: skip
def test_training_refuses_what_cannot_be(changes, words):
    with pytest.raises(UserError, match=words):
        train_bpe([TEXT], **{"vocab_size": 300, "special_tokens": SPECIAL, **changes})


def test_gpt2_gives_its_own_ids(data_folder):
    folder = data_folder / "03_tokenizers"
    gpt2 = tokenizers.load(folder / "gpt2" / "tokenizer.json")
    fixture = json.loads((folder / "encoded_fixtures" / "gpt2_encoded_tokens.json").read_text())
    assert gpt2.encode(fixture["text"]) == fixture["token_ids"]
    assert gpt2.end_of_text == 50256


def test_every_hard_text_comes_back(data_folder):
    gpt2 = tokenizers.load(data_folder / "03_tokenizers" / "gpt2" / "tokenizer.json")
    for path in sorted((data_folder / "07_tokenizer_text").iterdir()):
        text = path.read_bytes().decode(errors="replace")[:200_000]
        assert gpt2.decode(gpt2.encode(text)) == text, path.name


def broken(change) -> str:
    """What is said of the small tokenizer's file after `change` was made to it."""
    import tempfile
    from pathlib import Path

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "tokenizer.json"
        tokenizers.save(small, path)
        content = json.loads(path.read_text())
        result = change(content)
        path.write_text(result if isinstance(result, str) else json.dumps(content))
        with pytest.raises(UserError) as told:
            tokenizers.load(path)
        assert str(path) in str(told.value)
        return str(told.value)


def set_to(*keys, value):
    def change(content):
        for key in keys[:-1]:
            content = content[key]
        content[keys[-1]] = value

    return change


def duplicate_id(content):
    content["model"]["vocab"]["a"] = content["model"]["vocab"]["b"]


@pytest.mark.parametrize(("change", "words"), [
    (lambda content: "{", "not JSON"),
    (lambda content: "[" * 100_000, "not JSON"),
    (lambda content: "[]", "not a tokenizer.json"),
    (lambda content: "{}", "not a tokenizer.json"),
    (set_to("model", "type", value="Unigram"), "Unigram"),
    (set_to("model", "byte_fallback", value=True), "byte_fallback"),
    (set_to("normalizer", value={"type": "NFKC"}), "normalizer"),
    (set_to("pre_tokenizer", value={"type": "Whitespace"}), "pre-tokenizer is not supported"),
    (set_to("added_tokens", 0, "lstrip", value=True), "has lstrip"),
    (set_to("added_tokens", 0, "id", value=17), "collides|two tokens"),
    (set_to("added_tokens", 0, "special", value=False), "is not special"),
    (set_to("model", "merges", 3, value="abc"), r"merge 3 \('abc'\) is not a pair"),
    (set_to("model", "merges", 3, value="Ġzz q"), "needs the token"),
    (lambda content: content["model"]["merges"].append(content["model"]["merges"][0]), "stands there twice"),
    (duplicate_id, "two tokens have the id"),
    (set_to("model", "vocab", "a", value=99_999), "without a gap"),
    (set_to("model", "vocab", value={}), "is missing|no token|without a gap|collides"),
    (set_to("model", "vocab", "a", value="x"), "tokenizer"),
    (lambda content: content.pop("added_tokens") and None, "added_tokens"),
])  # fmt: skip
def test_a_file_that_is_no_such_tokenizer_is_refused_with_what_is_wrong(change, words):
    assert regex.search(words, broken(change))


def test_a_missing_file_says_how_to_make_one(tmp_path):
    with pytest.raises(UserError, match="scratchgrad-tokenize train"):
        tokenizers.load(tmp_path)


def test_encoding_gives_the_same_array_for_long_texts():
    text = TEXT * 50
    assert np.array_equal(small.encode_array(text), np.array(small.encode(text), np.uint32))
