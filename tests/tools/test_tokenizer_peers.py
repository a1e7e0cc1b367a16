"""Ids, offsets and decoded text beside the programs whose files these are: tiktoken, Hugging Face tokenizers, SentencePiece.

Each is skipped where the program (extra `bench`) or the real vocabulary is absent; what is trained here needs no data.
"""

import base64
import io
import json
import random
import tempfile
import unicodedata
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scratchgrad.tools import tokenizer as tokenizers
from scratchgrad.tools.tokenizer import PATTERNS, train_bpe
from tests.tools.tokenizer_texts import TEXT, any_text, hard_texts, load, mutated

NO_PEER = "the extra `bench` is not installed: no {} to compare with"


def peer(name):
    return pytest.importorskip(name, reason=NO_PEER.format(name))


def parts_of(text, rng):
    """`text` in lines and in random slices: short enough that a difference is seen where it is."""
    lines = [line for line in text.splitlines(keepends=True) if line]
    return lines + [text[i : i + 80] for i in rng.sample(range(len(text)), min(200, len(text)))]


# tiktoken


def ranks_in(path):
    """Not by tiktoken's own loader, which keeps copies by path: another test may have had a file there."""
    return {base64.b64decode(token): int(rank) for token, rank in map(bytes.split, path.read_bytes().splitlines())}


@cache
def tiktoken_of(path, name):
    tiktoken = peer("tiktoken")
    known = tokenizers.tiktoken_file.KNOWN[name]
    return tiktoken.Encoding(
        name,
        pat_str=PATTERNS[known.pattern].published,
        mergeable_ranks=ranks_in(path),
        special_tokens=known.special_tokens,
    )


@pytest.mark.parametrize("name", ["r50k_base", "cl100k_base"])
def test_ids_are_tiktokens(data_folder, name):
    path = data_folder / "03_tokenizers" / "tiktoken" / f"{name}.tiktoken"
    theirs, ours = tiktoken_of(path, name), load(path)

    @given(any_text | mutated)
    def alike(text):
        assert ours.encode(text) == theirs.encode_ordinary(text)
        assert ours.decode(ours.encode(text)) == text
        assert ours.encode(text, ours.special_tokens) == theirs.encode(text, allowed_special="all")

    alike()
    for text in hard_texts(data_folder):
        assert ours.encode(text) == theirs.encode_ordinary(text)
        assert ours.encode_with_offsets(text)[0] == ours.encode(text)


def test_a_lone_surrogate_is_read_as_tiktoken_reads_it(data_folder):
    path = data_folder / "03_tokenizers" / "tiktoken" / "r50k_base.tiktoken"
    theirs, ours = tiktoken_of(path, "r50k_base"), load(path)
    for text in ("a\ud800b", "\udfff", "\ud83d\ude42", "\ud83d", "\ude42\ud83d"):
        assert ours.encode(text) == theirs.encode_ordinary(text)


@pytest.mark.parametrize("pattern", sorted(PATTERNS))
def test_a_trained_vocabulary_written_for_tiktoken_gives_there_the_same_ids(tmp_path, pattern):
    tiktoken = peer("tiktoken")
    ours = train_bpe([TEXT] * 3, 420, pattern=pattern)
    path = tmp_path / "small.tiktoken"
    tokenizers.save(ours, path)
    theirs = tiktoken.Encoding(
        "small",
        pat_str=PATTERNS[pattern].published,
        mergeable_ranks=ranks_in(path),
        special_tokens=ours.special_tokens,
    )
    again = tokenizers.load(path, pattern=pattern, special_tokens=ours.special_tokens)
    assert again.fingerprint == ours.fingerprint

    @given(any_text | mutated)
    def alike(text):
        assert ours.encode(text) == theirs.encode_ordinary(text)

    alike()


# Hugging Face tokenizers


@pytest.mark.parametrize("pattern", sorted(PATTERNS))
@pytest.mark.parametrize("size", [300, 480])
def test_merges_are_those_of_hugging_faces_trainer(pattern, size):
    peer("tokenizers")
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers, trainers

    theirs = Tokenizer(models.BPE())
    theirs.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(PATTERNS[pattern].published), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ])  # fmt: skip
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=size, special_tokens=["<|endoftext|>"], initial_alphabet=alphabet, show_progress=False
    )
    rng = random.Random(size)
    texts = ["".join(rng.sample(TEXT, len(TEXT))), TEXT, TEXT[::-1], TEXT[50:]]
    theirs.train_from_iterator(texts, trainer)
    ours = train_bpe(texts, size, pattern=pattern)
    assert json.loads(theirs.to_str())["model"]["merges"] == written(ours)["model"]["merges"]


def written(tokenizer):
    with tempfile.TemporaryDirectory() as folder:
        tokenizers.save(tokenizer, Path(folder))
        return json.loads((Path(folder) / "tokenizer.json").read_text())


def hugging_face(content):
    peer("tokenizers")
    from tokenizers import Tokenizer

    theirs = Tokenizer.from_str(content if isinstance(content, str) else json.dumps(content))
    theirs.encode_special_tokens = True  # text that spells a special token is text
    return theirs


def assert_alike(ours, theirs, text):
    """Ids and offsets of both. Theirs leave out the blanks that a token begins or ends with where a file says so."""
    got, wanted = ours.encode_with_offsets(text), theirs.encode(text, add_special_tokens=False)
    assert got[0] == wanted.ids == ours.encode(text)
    assert got[1] == wanted.offsets


@pytest.mark.parametrize("name", ["gpt2/tokenizer.json", "hf/dolma_llama_tokenizer.json"])
def test_ids_and_offsets_are_hugging_faces(data_folder, name):
    path = data_folder / "03_tokenizers" / name
    ours, theirs = load(path), hugging_face(path.read_text())

    @given(any_text | mutated)
    def alike(text):
        assert_alike(ours, theirs, text)

    alike()
    rng = random.Random(0)
    for text in hard_texts(data_folder):
        for part in parts_of(text, rng):
            assert_alike(ours, theirs, part)


def test_added_tokens_and_specials_are_found_where_hugging_face_finds_them(data_folder):
    path = data_folder / "03_tokenizers" / "hf" / "dolma_llama_tokenizer.json"
    ours, theirs = load(path), hugging_face(path.read_text())
    theirs.encode_special_tokens = False
    names = [*ours.special_tokens, "|||PHONE_NUMBER|||", "|||IP_ADDRESS|||"]

    @given(st.lists(st.sampled_from([*names, " ", "  ", "a", "x y", "▁", "\n", "|", "é"]), max_size=8).map("".join))
    def alike(text):
        got = ours.encode_with_offsets(text, ours.special_tokens)
        wanted = theirs.encode(text, add_special_tokens=False)
        assert got[0] == wanted.ids == ours.encode(text, ours.special_tokens)

    alike()


def variants():
    """tokenizer.json files of the families of which no real one is at hand, made from a small vocabulary."""
    base = written(train_bpe([TEXT] * 3, 420, pattern="gpt4", special_tokens=("<|endoftext|>", "<|user|>")))
    size = len(base["model"]["vocab"])
    neox = {**base, "normalizer": {"type": "NFC"}}
    neox["added_tokens"] = [
        *base["added_tokens"],
        *({"id": size + i, "content": " " * n, "single_word": False, "lstrip": False, "rstrip": False,
           "normalized": i % 2 == 0, "special": False} for i, n in enumerate((2, 3, 5))),
        {"id": size + 3, "content": "e\u0301t", "single_word": False, "lstrip": False, "rstrip": False,
         "normalized": True, "special": False},
    ]  # fmt: skip
    words = [
        word
        for word in ("text,", "tokenize", " tokenizer", "qqq", "and the")
        if word.replace(" ", "Ġ") not in base["model"]["vocab"]
    ]
    assert len(words) > 2
    llama3 = {**base, "model": {**base["model"], "ignore_merges": True}}
    llama3["model"]["vocab"] = {
        **base["model"]["vocab"], **{w.replace(" ", "Ġ"): size + i for i, w in enumerate(words)}
    }  # fmt: skip
    llama3["post_processor"] = {"type": "Sequence", "processors": [
        {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": False, "use_regex": True},
        {"type": "TemplateProcessing",
         "single": [{"SpecialToken": {"id": "<|user|>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
         "pair": [{"SpecialToken": {"id": "<|user|>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}},
                  {"SpecialToken": {"id": "<|user|>", "type_id": 1}}, {"Sequence": {"id": "B", "type_id": 1}}],
         "special_tokens": {"<|user|>": {"id": "<|user|>", "ids": [1], "tokens": ["<|user|>"]}}},
    ]}  # fmt: skip
    return {"neox": neox, "llama3": llama3, "gpt2": base}


@pytest.mark.parametrize("name", ["neox", "llama3", "gpt2"])
def test_families_without_a_real_file_at_hand(tmp_path, name):
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps(variants()[name]))
    ours, theirs = tokenizers.load(path), hugging_face(path.read_text())
    accents = st.lists(
        st.sampled_from(["e", "\u0301", "\u0323", "é", " ", "  ", "t", "a", "각", "\u1100", "\u1161"]), max_size=9
    )

    @given(any_text | mutated | accents.map("".join))
    def alike(text):
        got = ours.encode_with_offsets(text)
        wanted = theirs.encode(text, add_special_tokens=False)
        assert got[0] == wanted.ids == ours.encode(text)
        if name != "neox":  # composed characters: theirs claims the last part alone for some
            assert got[1] == wanted.offsets

    alike()
    pair = theirs.encode("the text", "tokenizer")
    assert ours.encode_pair("the text", "tokenizer") == (pair.ids, pair.type_ids)
    again = tmp_path / "again.json"
    tokenizers.save(ours, again)
    assert tokenizers.load(again).fingerprint == ours.fingerprint
    assert hugging_face(again.read_text()).encode(TEXT).ids == theirs.encode(TEXT).ids


@pytest.mark.parametrize("scheme", ["first", "always", "never"])
def test_metaspace_that_does_not_split(tmp_path, data_folder, scheme):
    content = json.loads((data_folder / "03_tokenizers" / "hf" / "dolma_llama_tokenizer.json").read_text())
    content["normalizer"] = None
    content["pre_tokenizer"] = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": scheme, "split": False}
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps(content))
    ours, theirs = tokenizers.load(path), hugging_face(content)
    theirs.encode_special_tokens = False

    @given(st.lists(st.sampled_from(["<s>", "</s>", " ", "  ", "a", "the", "▁", "\n", "é"]), max_size=8).map("".join))
    def alike(text):
        assert ours.encode(text, ours.special_tokens) == theirs.encode(text, add_special_tokens=False).ids

    alike()


def long_known():
    """Characters that are today what they were in Unicode 3.2: the peer's tables are of version 8, ours of this Python's."""
    was = unicodedata.ucd_3_2_0.category
    return [c for c in map(chr, range(0x110000)) if was(c) == unicodedata.category(c) and was(c) not in ("Cs", "Cn")]


@pytest.mark.parametrize(("name", "lowercase"), [
    ("03_tokenizers/wordpiece/bert_base_uncased_vocab.txt", True),
    ("02_models/bert-xsmall-dummy/vocab.txt", False),
])  # fmt: skip
def test_bert_is_hugging_faces(data_folder, name, lowercase):
    peer("tokenizers")
    from tokenizers import BertWordPieceTokenizer

    path = data_folder / name
    ours, theirs = load(path), BertWordPieceTokenizer(str(path), lowercase=lowercase)
    theirs._tokenizer.encode_special_tokens = True
    assert ours.lowercase == lowercase

    @given(st.text(st.sampled_from(long_known()), max_size=60) | mutated)
    def alike(text):
        wanted = theirs.encode(text, add_special_tokens=False)
        assert ours.encode(text) == wanted.ids
        ids, offsets = ours.encode_with_offsets(text)
        assert ids == wanted.ids
        if not lowercase or not any(map(unicodedata.combining, unicodedata.normalize("NFD", text))):
            assert offsets == wanted.offsets  # where accents go, theirs end before the accent, ours behind it

    alike()
    rng = random.Random(0)
    for text in hard_texts(data_folder):
        for part in parts_of(text, rng):
            assert ours.encode(part) == theirs.encode(part, add_special_tokens=False).ids


@given(st.integers(0, 12), st.integers(0, 12), st.integers(5, 30))
def test_a_pair_is_cut_as_hugging_face_cuts_it(first, second, room):
    theirs = bert_of_words()
    theirs[0].enable_truncation(room, strategy="longest_first")
    wanted = theirs[0].encode("a " * first, "b " * second)
    assert theirs[1].encode_pair("a " * first, "b " * second, room) == (wanted.ids, wanted.type_ids)


@cache
def bert_of_words():
    peer("tokenizers")
    from tokenizers import BertWordPieceTokenizer

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "vocab.txt"
        path.write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "b"]) + "\n")
        return BertWordPieceTokenizer(str(path), lowercase=True), tokenizers.load(path)


# SentencePiece


def sentencepiece(path):
    return peer("sentencepiece").SentencePieceProcessor(model_file=str(path))


def assert_all_alike(ours, theirs):
    @given(any_text | mutated)
    def alike(text):
        ids = theirs.encode(text)
        assert ours.encode(text) == ids
        assert ours.encode_with_offsets(text)[0] == ids
        assert ours.decode(ids) == theirs.decode(ids)

    alike()


@pytest.mark.parametrize("name", ["llama2", "t5_base"])
def test_ids_are_sentencepieces(data_folder, name):
    path = data_folder / "03_tokenizers" / "spm" / f"{name}.model"
    ours, theirs = load(path), sentencepiece(path)

    assert_all_alike(ours, theirs)
    for text in hard_texts(data_folder):
        assert ours.encode(text) == theirs.encode(text)


@pytest.mark.parametrize("kind", ["unigram", "bpe"])
@pytest.mark.parametrize("byte_fallback", [False, True])
@pytest.mark.parametrize("normalized", [False, True])
def test_a_model_that_sentencepiece_trains_here_gives_its_ids(tmp_path, kind, byte_fallback, normalized):
    package = peer("sentencepiece")
    rng = random.Random(1)
    words = TEXT.split()
    sentences = [" ".join(rng.choices(words, k=12)) for _ in range(400)]
    options = {"normalization_rule_name": "nmt_nfkc"} if normalized else {
        "normalization_rule_name": "identity", "remove_extra_whitespaces": False}  # fmt: skip
    model = io.BytesIO()
    package.SentencePieceTrainer.train(
        sentence_iterator=iter(sentences), model_writer=model, model_type=kind, byte_fallback=byte_fallback,
        vocab_size=460 if byte_fallback else 200, hard_vocab_limit=False, character_coverage=0.98, minloglevel=2,
        **options,
    )  # fmt: skip
    path = tmp_path / "small.model"
    path.write_bytes(model.getvalue())
    ours, theirs = tokenizers.load(path), sentencepiece(path)
    assert ours.vocab_size == theirs.vocab_size()

    assert_all_alike(ours, theirs)
