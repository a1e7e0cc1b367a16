"""Special tokens that a tokenizer of any kind gets beside its own: new ids behind the old, and all else as before."""

import pytest

from scratchgrad import UserError
from scratchgrad.tools.tokenizer import lacking_tokens, load, save, train_bpe, with_special_tokens

TEXT = "The café sat on 123 mats, hello\tworld! 🙂"
NAMES = ["<|user|>", "[PAD]", "<|user|>"]


def check(tokenizer, tmp_path):
    save(tokenizer, tmp_path)
    tokenizer, given = load(tmp_path), tokenizer  # what is trained with in any case: a Unigram comes back as a Pipeline
    before = given.vocab_size
    grown = with_special_tokens(given, NAMES)
    lacking = lacking_tokens(given, NAMES)
    assert "<|user|>" in lacking
    assert [grown.special_tokens[name] for name in lacking] == list(range(before, before + len(lacking)))
    assert grown.vocab_size == before + len(lacking)
    assert type(grown) is type(tokenizer)
    assert grown.encode(TEXT) == given.encode(TEXT) == tokenizer.encode(TEXT)
    assert grown.decode(grown.encode(TEXT)) == tokenizer.decode(tokenizer.encode(TEXT))
    assert grown.encode("<|user|>", ["<|user|>"]) == [before]
    assert before not in grown.encode("a <|user|> b")  # ordinary text, unless it is allowed
    assert with_special_tokens(grown, NAMES) is grown
    save(grown, tmp_path)
    assert load(tmp_path).fingerprint == grown.fingerprint


def test_byte_level_bpe(tmp_path):
    check(train_bpe([TEXT] * 5, 300), tmp_path)


@pytest.mark.parametrize("name", [
    "03_tokenizers/gpt2/vocab.bpe", "03_tokenizers/spm/t5_base.model", "03_tokenizers/wordpiece/bert_base_uncased_vocab.txt",
    "02_models/stories260K/tok512.bin", "03_tokenizers/hf/dolma_llama_tokenizer.json",
])  # fmt: skip
def test_published_ones_of_every_kind(name, data_folder, tmp_path):
    check(load(data_folder / name), tmp_path)


@pytest.mark.parametrize("name", ["", "plain"])
def test_a_name_that_cannot_be(name, tmp_path):
    tokenizer = with_special_tokens(train_bpe([TEXT] * 5, 300), [])
    tokenizer.added.append(tokenizer.added[0]._replace(text="plain", special=False))
    with pytest.raises(UserError, match="cannot be added as a special token"):
        with_special_tokens(tokenizer, [name])
