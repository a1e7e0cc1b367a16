"""The tokens that texts begin and end with: where they are looked for, and which mistakes are told."""

import json

import pytest

from scratchgrad import UserError, manual_seed, models
from scratchgrad.tools import tokenizer as tokenizers
from scratchgrad.tools.loading import load_language_model
from scratchgrad.tools.tokenizer import train_bpe

SPECIAL = ("<|endoftext|>", "<s>", "</s>", "<one>", "<two>")  # ids 0 to 4


def saved(folder, generation=None, config=None, tokenizer=None, special=SPECIAL):
    """A small Llama whose files say this of its ids; None: nothing at all."""
    manual_seed(0)
    sizes = {
        "model_type": "llama", "vocab_size": 300, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
        "intermediate_size": 24, "max_position_embeddings": 32,
    }  # fmt: skip
    models.save(models.build(models.config_from_dict(sizes)), folder, generation)
    tokenizers.save(train_bpe(["the cat"] * 3, 270, special_tokens=special), folder / "tokenizer.json")
    if config is not None:
        told = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps({**told, **config}))
    if tokenizer is not None:
        (folder / "tokenizer_config.json").write_text(json.dumps(tokenizer))
    return folder


GENERATION, CONFIG = {"bos_token_id": 3, "eos_token_id": 4}, {"bos_token_id": 4, "eos_token_id": [3, 0]}
TOKENIZER = {"bos_token": "<two>", "eos_token": {"content": "<one>", "lstrip": False}}


@pytest.mark.parametrize(("files", "begin", "ends"), [
    ((GENERATION, CONFIG, TOKENIZER), 3, {4}), ((None, CONFIG, TOKENIZER), 4, {3, 0}), ((None, None, TOKENIZER), 4, {3}),
    ((None, None, None), 1, {2}), (({"eos_token_id": [4, 2]}, {"bos_token_id": 4}, None), 4, {4, 2}),
    (({"bos_token_id": None}, {"eos_token_id": 0}, {"bos_token": "<one>"}), 3, {0}),
    ((None, {"eos_token_id": None}, {"eos_token": None, "pad_token": 5}), 1, {2}),
])  # fmt: skip
def test_the_first_file_that_says_it_counts(tmp_path, files, begin, ends):
    loaded = load_language_model(saved(tmp_path / "model", *files))
    assert (loaded.begin, loaded.stop_token_ids) == (begin, ends)
    assert loaded.prompt_ids("cat")[0] == begin


def test_it_is_what_transformers_takes(tmp_path):
    transformers = pytest.importorskip("transformers", reason="the extra parity is not installed")
    for number, files in enumerate([(GENERATION, CONFIG), (None, CONFIG)]):
        folder = saved(tmp_path / str(number), *files)
        theirs = transformers.AutoModelForCausalLM.from_pretrained(folder).generation_config
        ends = theirs.eos_token_id if isinstance(theirs.eos_token_id, list) else [theirs.eos_token_id]
        loaded = load_language_model(folder)
        assert (loaded.begin, loaded.stop_token_ids) == (theirs.bos_token_id, set(ends))


def test_a_tokenizer_without_names_that_tell(tmp_path):
    loaded = load_language_model(saved(tmp_path / "a", special=("<|endoftext|>",)))
    assert (loaded.begin, loaded.stop_token_ids, loaded.prompt_ids("cat")[0]) == (None, {0}, 0)
    other = saved(tmp_path / "b", {"bos_token_id": 1, "eos_token_id": 1}, special=("<x>", "<y>"))
    assert load_language_model(other).stop_token_ids == {1}


@pytest.mark.parametrize(("files", "words"), [
    ((None, {"eos_token_id": 300}, None), "config.json' has eos_token_id = 300, which is no id of a token from 0 to 299"),
    ((None, {"eos_token_id": [1, "2"]}, None), r"config.json' has eos_token_id = \[1, '2'\], which is no id"),
    ((None, {"bos_token_id": [1]}, None), r"config.json' has bos_token_id = \[1\]"),
    ((None, {"bos_token_id": True}, None), "bos_token_id = True"), ((None, {"bos_token_id": -1}, None), "bos_token_id = -1"),
    (({"eos_token_id": 1.0}, CONFIG, None), "generation_config.json' has eos_token_id = 1.0"),
    ((None, None, {"bos_token": 5}), "tokenizer_config.json' has bos_token = 5, which is no text of a token"),
    ((None, None, {"eos_token": {"contents": "</s>"}}), "eos_token = {'contents': '</s>'}, which is no text"),
    ((None, None, {"eos_token": "<|im_end|>"}), r"eos_token = '<\|im_end\|>', and the tokenizer has no special token of"),
    ((None, None, ["x"]), "tokenizer_config.json' is not a tokenizer: it holds a JSON list"),
])  # fmt: skip
def test_ids_that_are_none_are_one_sentence(tmp_path, files, words):
    folder = saved(tmp_path / "model", *files)
    with pytest.raises(UserError, match=words) as told:
        load_language_model(folder)
    assert len(str(told.value).replace(str(tmp_path), "")) < 300


def test_what_an_earlier_file_says_makes_later_ones_of_no_account(tmp_path):
    folder = saved(tmp_path / "model", GENERATION, {"bos_token_id": 9999}, {"eos_token": 7})
    assert load_language_model(folder).begin == 3


def test_converting_keeps_what_config_json_alone_said(tmp_path, call):
    saved(tmp_path / "model", None, CONFIG)
    done = call("scratchgrad-convert", "model", "again", "--to", "hf")
    assert done.returncode == 0, done.stderr
    before, after = (load_language_model(tmp_path / name) for name in ("model", "again"))
    assert (after.begin, after.stop_token_ids) == (before.begin, before.stop_token_ids)
