"""Files: real ones give their published ids, written ones come back whole, and each format is found by its name."""

import base64
import json
import shutil

import pytest

from scratchgrad import UserError
from scratchgrad.tools import tokenizer as tokenizers
from scratchgrad.tools.tokenizer import train_bpe
from tests.tools.tokenizer_texts import SPECIAL, TEXT, hard_texts, load

ROOM = "03_tokenizers"

GPT2 = ["gpt2/tokenizer.json", "gpt2/encoder.json", "gpt2/vocab.bpe", "tiktoken/r50k_base.tiktoken"]
LLAMA2 = [
    f"{ROOM}/spm/llama2.model",
    f"{ROOM}/hf/dolma_llama_tokenizer.json",
    "02_models/llama2_tokenizer/tokenizer.bin",
]


def fixture(data_folder, name):
    return json.loads((data_folder / ROOM / "encoded_fixtures" / name).read_text())


@pytest.mark.parametrize("name", GPT2)
def test_gpt2_gives_its_published_ids(data_folder, name):
    gpt2 = load(data_folder / ROOM / name)
    published = fixture(data_folder, "gpt2_encoded_tokens.json")
    assert gpt2.encode(published["text"]) == published["token_ids"]
    assert gpt2.decode(published["token_ids"]) == published["decoded_text"]
    assert (gpt2.vocab_size, gpt2.end_of_text) == (50257, 50256)


def test_the_four_forms_of_gpt2_are_one_tokenizer(data_folder):
    assert len({load(data_folder / ROOM / name).fingerprint for name in GPT2[1:]}) == 1
    first, second = (load(data_folder / ROOM / name) for name in GPT2[:2])
    assert (first.tokens, first.merges) == (second.tokens, second.merges)


@pytest.mark.parametrize("name", LLAMA2)
def test_llama2_gives_its_published_ids_with_bytes_for_what_has_no_token(data_folder, name):
    llama, published = load(data_folder / name), fixture(data_folder, "llama_encoded.json")
    assert llama.encode_pair(published["text"]).ids == published["token_ids"]
    assert llama.decode(published["token_ids"]) == published["decoded_text"]
    assert llama.decode(published["token_ids"], skip_special=True) == published["text"]


def test_the_three_forms_of_llama2_encode_alike(data_folder):
    llamas = [load(data_folder / name) for name in LLAMA2]
    for text in hard_texts(data_folder):
        ids = llamas[0].encode(text)
        assert llamas[1].encode(text) == ids
        assert llamas[0].decode(ids) == text.replace("\u2581", " ")
        if "\u2581" not in text:  # llama2.c takes this character for itself, the others for a blank
            assert llamas[2].encode(text) == ids


def test_t5_gives_its_published_ids(data_folder):
    t5, published = (
        load(data_folder / ROOM / "spm" / "t5_base.model"),
        fixture(data_folder, "t5_base_encoded.json"),
    )
    assert t5.encode_pair(published["text"]).ids == published["token_ids"]
    assert t5.decode(published["token_ids"]) == published["decoded_text"]
    assert t5.encode_pair("a", "b").ids == [*t5.encode("a"), 1, *t5.encode("b"), 1]


def test_bert_gives_its_published_ids(data_folder):
    bert = load(data_folder / ROOM / "wordpiece" / "bert_base_uncased_vocab.txt")
    published = fixture(data_folder, "bert_uncased_encoded.json")
    assert bert.lowercase
    assert bert.encode_pair(published["text"]).ids == published["token_ids"]
    assert [bert.vocabulary[i] for i in bert.encode(published["text"])] == published["bpe_tokens"]
    pair = bert.encode_pair("the cat", "sat")
    assert pair.ids == [101, *bert.encode("the cat"), 102, *bert.encode("sat"), 102]
    assert pair.segments == [0] * 4 + [1] * 2
    assert bert.decode(pair.ids, skip_special=True) == "the cat sat"


def test_cl100k_gives_known_ids(data_folder):
    cl100k = load(data_folder / ROOM / "tiktoken" / "cl100k_base.tiktoken")
    assert cl100k.encode("hello world") == [15339, 1917]
    assert cl100k.encode("hello<|endoftext|>", ["<|endoftext|>"]) == [15339, 100257]
    with pytest.raises(UserError, match="100256 is not one of them"):
        cl100k.decode([100256])


def test_the_tokenizer_of_a_tiny_llama(data_folder):
    tiny = load(data_folder / "02_models" / "stories260K" / "tok512.bin")
    assert tiny.encode("Once upon a time") == [403, 407, 261, 378]


@pytest.mark.parametrize("pattern", ["gpt2", "gpt4", "gpt4o", r"\w+|\W"])
def test_tokenizer_json_keeps_everything(tmp_path, pattern):
    tokenizer = train_bpe([TEXT], 350, pattern=pattern, special_tokens=SPECIAL)
    tokenizers.save(tokenizer, tmp_path)
    again = tokenizers.load(tmp_path / "tokenizer.json")
    assert again.fingerprint == tokenizer.fingerprint
    assert again.encode(TEXT) == tokenizer.encode(TEXT)


def test_vocab_json_and_merges_txt_and_tiktoken_keep_everything_but_what_they_have_no_place_for(tmp_path):
    tokenizer = train_bpe([TEXT], 350, special_tokens=SPECIAL)
    told = {"pattern": "gpt4", "special_tokens": tokenizer.special_tokens}
    for name in ("vocab.json", "x.tiktoken"):
        tokenizers.save(tokenizer, tmp_path / name)
        assert tokenizers.load(tmp_path / name, **told).fingerprint == tokenizer.fingerprint
    assert tokenizers.load(tmp_path / "merges.txt", **told).fingerprint == tokenizer.fingerprint
    assert tokenizers.load(tmp_path, **told).fingerprint == tokenizer.fingerprint


def test_real_vocabularies_go_from_format_to_format(data_folder, tmp_path):
    cl100k = load(data_folder / ROOM / "tiktoken" / "cl100k_base.tiktoken")
    tokenizers.save(cl100k, tmp_path / "cl100k_base.tiktoken")
    assert tokenizers.load(tmp_path / "cl100k_base.tiktoken").fingerprint == cl100k.fingerprint
    llama = load(data_folder / LLAMA2[0])
    tokenizers.save(llama, tmp_path / "tokenizer.bin")
    assert (tmp_path / "tokenizer.bin").read_bytes() == (data_folder / LLAMA2[2]).read_bytes()
    tokenizers.save(llama, tmp_path / "tokenizer.json")
    assert tokenizers.load(tmp_path / "tokenizer.json").encode(TEXT) == llama.encode(TEXT)
    llama = load(data_folder / LLAMA2[1])
    tokenizers.save(llama, tmp_path / "tokenizer.json")
    assert tokenizers.load(tmp_path / "tokenizer.json").fingerprint == llama.fingerprint


@pytest.mark.parametrize(("source", "name"), [
    ("spm/llama2.model", "tokenizer.model"), ("tiktoken/r50k_base.tiktoken", "r50k_base.tiktoken"),
    ("wordpiece/bert_base_uncased_vocab.txt", "vocab.txt"), ("hf/dolma_llama_tokenizer.json", "tokenizer.json"),
])  # fmt: skip
def test_the_format_is_found_by_the_name_and_in_a_folder(data_folder, tmp_path, source, name):
    shutil.copy(data_folder / ROOM / source, tmp_path / name)
    loaded = tokenizers.load(tmp_path / name)
    if name.endswith(".tiktoken"):  # its name is whatever the vocabulary is called
        return
    assert tokenizers.load(tmp_path).fingerprint == loaded.fingerprint


@pytest.mark.parametrize(("make", "name", "words"), [
    (lambda d: d / ROOM / "gpt2" / "tokenizer.json", "t.bin", "holds scores"),
    (lambda d: d / ROOM / "spm" / "t5_base.model", "t.tiktoken", "cannot be written in a file of this name"),
    (lambda d: d / ROOM / "gpt2" / "tokenizer.json", "t.xml", "cannot be written in a file of this name"),
])  # fmt: skip
def test_what_a_format_cannot_hold_is_not_written(data_folder, tmp_path, make, name, words):
    with pytest.raises(UserError, match=words):
        tokenizers.save(load(make(data_folder)), tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_merges_that_ranks_would_not_give_are_not_written_as_tiktoken(tmp_path):
    tokenizer = train_bpe([TEXT], 300)
    swapped = [*tokenizer.merges]
    swapped[0], swapped[1] = swapped[1], swapped[0]
    other = tokenizers.ByteLevelBPE(tokenizer.tokens, swapped, tokenizer.added, "gpt4")
    with pytest.raises(UserError, match="would not give these merges; the first that differs makes"):
        tokenizers.save(other, tmp_path / "x.tiktoken")


def test_every_hard_text_comes_back(data_folder):
    gpt2 = load(data_folder / ROOM / "gpt2" / "tokenizer.json")
    for path in sorted((data_folder / "07_tokenizer_text").iterdir()):
        text = path.read_bytes().decode(errors="replace")[:200_000]
        assert gpt2.decode(gpt2.encode(text)) == text, path.name


def test_a_tiktoken_vocabulary_goes_round_special_tokens_among_its_ranks(tmp_path):
    """p50k: tokens for blanks behind r50k's end of text, whose id is no rank."""
    small = train_bpe([TEXT, "a        b"] * 3, 400, special_tokens=("<|endoftext|>",))
    ranks = [token for i, token in enumerate(small.tokens) if i != small.end_of_text]
    lines = [base64.b64encode(token) + b" %d\n" % (i + (i >= 300)) for i, token in enumerate(ranks)]
    path = tmp_path / "x.tiktoken"
    path.write_bytes(b"".join(lines))
    with pytest.raises(UserError, match="the rank 301 where 300 is due"):
        tokenizers.load(path, pattern="gpt2")
    told = {"pattern": "gpt4", "special_tokens": {"<|endoftext|>": 300}}
    loaded = tokenizers.load(path, **told)
    again = tmp_path / "again.tiktoken"
    tokenizers.save(loaded, again)
    assert again.read_bytes() == path.read_bytes()
    assert [loaded.tokens[i] for i in loaded.encode(TEXT)] == [small.tokens[i] for i in small.encode(TEXT)]
    tokenizers.save(loaded, tmp_path)
    assert tokenizers.load(tmp_path / "tokenizer.json").fingerprint == loaded.fingerprint


def test_p50k_is_r50k_with_blanks(data_folder, tmp_path):
    path = tmp_path / "p50k_base.tiktoken"
    blanks = [base64.b64encode(b" " * n) + b" %d\n" % (50255 + n) for n in range(2, 26)]
    path.write_bytes((data_folder / ROOM / "tiktoken/r50k_base.tiktoken").read_bytes() + b"".join(blanks))
    loaded = tokenizers.load(path)
    assert loaded.vocab_size == 50281
    assert loaded.encode("a" + " " * 25 + "b") == [64, 50279, 275]


def test_llama_3s_tokenizer_model_is_a_tiktoken_file(tmp_path):
    small = train_bpe([TEXT] * 3, 300, special_tokens=())
    tokenizers.save(small, tmp_path / "x.tiktoken")
    (tmp_path / "x.tiktoken").rename(tmp_path / "tokenizer.model")
    llama3 = tokenizers.load(tmp_path)
    assert llama3.encode(TEXT) == small.encode(TEXT)
    assert llama3.vocab_size == 556
    assert llama3.special_tokens["<|eot_id|>"] == 309
    assert llama3.encode_pair("a").ids == [300, *llama3.encode("a")]
    assert llama3.end_of_text == 301


def test_a_vocabulary_without_bytes_that_no_text_has(tmp_path):
    whole = train_bpe([TEXT], 300, special_tokens=())
    kept = [i for i in range(300) if whole.tokens[i] not in {bytes([b]) for b in (0xC0, 0xC1, *range(0xF5, 0x100))}]
    place = {i: n for n, i in enumerate(kept)}
    merges = [tuple(place[i] for i in merge) for merge in whole.merges]
    lean = tokenizers.ByteLevelBPE([whole.tokens[i] for i in kept], merges, [], "gpt4")
    tokenizers.save(lean, tmp_path)
    again = tokenizers.load(tmp_path)
    assert again.fingerprint == lean.fingerprint
    assert [place[i] for i in whole.encode(TEXT)] == again.encode(TEXT)
