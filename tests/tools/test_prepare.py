"""From sources to token stores: what is done again, and what is whole whatever happens."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from scratchgrad import UserError
from scratchgrad.tools import tokenizer as tokenizers
from scratchgrad.tools.data import TextLayout, prepare, train_validation_split
from scratchgrad.tools.text import build_source

WORDS = [
    "the",
    "cat",
    "sat",
    "on",
    "the",
    "mat",
    "and",
    "the",
    "dog",
    "sat",
    "on",
    "the",
    "log",
    "while",
    "it",
    "rained",
]
FIELDS = {"document": ("text",), "pair": ("source", "target")}


def text(seed: int, words: int = 400) -> str:
    rng = np.random.default_rng(seed)
    return " ".join(rng.choice(WORDS, words)) + "\n"


def fill(folder: Path, count: int = 30) -> Path:
    folder.mkdir()
    for i in range(count):
        (folder / f"{i:02d}.txt").write_text(text(i))
    return folder


def files(folder: Path):
    return build_source("files", files=[f"{folder}/*.txt"])


def document_encoder(tokenizer):
    layout = TextLayout(tokenizer)
    return lambda example: layout.document(example.text())


def pair_encoder(tokenizer):
    layout = TextLayout(tokenizer)
    return lambda example: layout.source_and_target(example.text("source"), example.text("target"))


ENCODERS = {"document": document_encoder, "pair": pair_encoder}


def prepared(cache, *sources, encoding="document", **changes):
    lines = []
    settings = {"vocab_size": 300, "pattern": "gpt4", "tokenizer_path": None, "validation": 0.2, "say": lines.append}
    settings |= {"encoding": encoding, "encoder": ENCODERS[encoding], "fields": FIELDS[encoding], **changes}
    return prepare(sources, cache, **settings), lines


def test_tokens_of_documents_are_their_texts_each_after_an_end_of_text(tmp_path):
    source = files(fill(tmp_path / "text"))
    done, said = prepared(tmp_path / "cache", source)
    sides = list(train_validation_split(source.examples(), 0.2).sides(source.examples()))
    for (store,), is_validation in ((done.train, False), (done.validation, True)):
        wanted = ["<|endoftext|>" + example.text() for held, example in sides if held == is_validation]
        assert done.tokenizer.decode(store.tokens.tolist()) == "".join(wanted)
        assert [done.tokenizer.decode(example.ids.tolist()) for example in store] == wanted
        assert store.tokens.dtype == np.uint16
        assert store.is_target.all()
    facts = json.loads((done.folder / "prepared.json").read_text())
    assert facts["tokenizer"] == done.tokenizer.fingerprint
    (told,) = facts["sources"]
    assert told["train"]["examples"] + told["validation"]["examples"] == 30
    assert told["train"]["tokens"] == told["train"]["targets"] == len(done.train[0].tokens)
    size = sum(len(example.text().encode()) for held, example in sides if not held)
    assert told["train"]["bytes"] == size
    assert f"{told['train']['tokens']:,} tokens to train on" in said[-1]


def test_pairs_are_examples_whose_targets_are_marked(tmp_path):
    source = build_source("reverse", pairs=300)
    done, _ = prepared(tmp_path, source, encoding="pair")
    found = []
    for store in (*done.train, *done.validation):
        for example in store:
            parts = (example.ids[~example.is_target], example.ids[example.is_target])
            found.append(tuple(done.tokenizer.decode(part[:-1].tolist()) for part in parts))
            assert {int(part[-1]) for part in parts} == {done.tokenizer.end_of_text}
    assert sorted(found) == sorted((e.text("source"), e.text("target")) for e in source.examples())


def test_several_sources_share_a_tokenizer_and_have_a_store_each(tmp_path):
    sources = files(fill(tmp_path / "one", 12)), files(fill(tmp_path / "two", 15))
    both, _ = prepared(tmp_path / "cache", *sources)
    for count, *stores in zip((12, 15), both.train, both.validation, strict=True):
        assert sum(map(len, stores)) >= count  # a document that is cut counts twice
    one, _ = prepared(tmp_path / "cache", sources[0], tokenizer_path=both.folder)
    assert one.folder != both.folder
    assert one.train[0].tokens.tobytes() == both.train[0].tokens.tobytes()
    turned, _ = prepared(tmp_path / "cache", *sources[::-1])
    assert turned.folder != both.folder


def test_a_large_vocabulary_that_is_given(tmp_path, data_folder):
    gpt2 = data_folder / "03_tokenizers" / "gpt2"
    done, _ = prepared(tmp_path / "cache", files(fill(tmp_path / "text", 3)), tokenizer_path=gpt2)
    assert done.train[0].tokens.dtype == np.uint16
    assert done.tokenizer.vocab_size == 50257


@pytest.mark.parametrize("name", [
    "03_tokenizers/spm/llama2.model", "03_tokenizers/spm/t5_base.model", "02_models/llama2_tokenizer/tokenizer.bin",
    "03_tokenizers/tiktoken/cl100k_base.tiktoken", "03_tokenizers/wordpiece/bert_base_uncased_vocab.txt",
])  # fmt: skip
def test_a_tokenizer_of_any_format_is_kept_as_a_tokenizer_json(tmp_path, data_folder, name):
    source = files(fill(tmp_path / "text", 3))
    done, _ = prepared(tmp_path / "cache", source, tokenizer_path=data_folder / name)
    assert (done.folder / "tokenizer.json").exists()
    given, kept = tokenizers.load(data_folder / name), tokenizers.load(done.folder)
    assert kept.fingerprint == done.tokenizer.fingerprint
    text = next(iter(source.examples())).text()
    assert kept.encode(text) == given.encode(text)


def test_nothing_is_done_twice_and_everything_when_something_changed(tmp_path):
    source = files(fill(tmp_path / "text"))
    first, said = prepared(tmp_path / "cache", source)
    assert said
    again, said = prepared(tmp_path / "cache", source)
    assert (again.folder, said) == (first.folder, [])
    changes = ({"vocab_size": 301}, {"pattern": "gpt2"}, {"validation": 0.3}, {"special_tokens": ("<pad>",)})
    others = [prepared(tmp_path / "cache", source, **change)[0].folder for change in changes]
    (tmp_path / "text" / "03.txt").write_text(text(99))
    others.append(prepared(tmp_path / "cache", source)[0].folder)
    (tmp_path / "text" / "03.txt").write_text(text(3))
    assert prepared(tmp_path / "cache", source)[0].folder == first.folder, "the content counts, not the time of change"
    assert len({first.folder, *others}) == 6


@pytest.mark.parametrize(("name", "damage", "words"), [
    ("0/train/tokens.bin", b"", "'tokens.bin' has 0 bytes"), ("prepared.json", b"{", "prepared.json' is not JSON"),
    ("prepared.json", b"{}", "its tokenizer is not the one that made its tokens"), ("tokenizer.json", b"", "tokenizer.json"),
])  # fmt: skip
def test_a_damaged_folder_is_told_with_what_to_do(tmp_path, name, damage, words):
    source = files(fill(tmp_path / "text", 8))
    done, _ = prepared(tmp_path / "cache", source)
    (done.folder / name).write_bytes(damage)
    with pytest.raises(UserError, match=words) as told:
        prepared(tmp_path / "cache", source)
    assert str(told.value).endswith(f"; remove '{done.folder}', and it is made again")


PREPARER = """
import sys
from pathlib import Path
from tests.tools.test_prepare import files, prepared
done, _ = prepared(Path(sys.argv[2]), files(Path(sys.argv[1])), say=lambda line: print(line, flush=True))
print(done.folder)
"""


def start(folder, cache):
    arguments = [sys.executable, "-c", PREPARER, str(folder), str(cache)]
    root = Path(__file__).parents[2]
    return subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True, start_new_session=True, cwd=root)


def test_several_at_once_do_the_work_once(tmp_path):
    folder = fill(tmp_path / "text")
    processes = [start(folder, tmp_path / "cache") for _ in range(4)]
    outputs = [process.communicate(timeout=60)[0].splitlines() for process in processes]
    assert len({lines[-1] for lines in outputs}) == 1
    assert sorted(map(len, outputs)) == [1, 1, 1, 4]


def test_one_that_is_killed_leaves_nothing_that_is_taken_for_whole(tmp_path):
    folder = fill(tmp_path / "text", 200)
    for attempt in range(3):
        process = start(folder, tmp_path / "cache")
        process.stdout.readline()
        time.sleep(0.02 * attempt)
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    done, _ = prepared(tmp_path / "cache", files(folder))
    names = sorted(path.name for path in (tmp_path / "cache").iterdir())
    assert names == sorted([".lock", "sums.json", done.folder.name])
    whole, _ = prepared(tmp_path / "other", files(folder))
    assert done.train[0].tokens.tobytes() == whole.train[0].tokens.tobytes()


def test_a_cache_that_cannot_be_written_is_told(tmp_path):
    source = files(fill(tmp_path / "text"))
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"data.cache_dir '.*/file/cache' cannot be written: Not a directory"):
        prepared(tmp_path / "file" / "cache", source)


def test_an_example_that_lacks_a_field_is_told_with_its_line(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"source": "a", "target": "b"}\n' * 9 + '{"source": "a"}\n')
    with pytest.raises(UserError, match=r"a\.jsonl:10': an example needs a field .target.;"):
        prepared(tmp_path / "cache", build_source("files", files=[f"{tmp_path}/*.jsonl"]), encoding="pair")
    assert [path.name for path in (tmp_path / "cache").iterdir() if path.is_dir()] == []


def test_what_an_encoder_raises_in_a_worker_is_raised_here(tmp_path):
    def refusing(tokenizer):
        def encode(example):
            raise UserError(f"'{example.name}' will not do")

        return encode

    source = files(fill(tmp_path / "text", 8))
    with pytest.raises(UserError, match="txt' will not do"):
        prepared(tmp_path / "cache", source, encoder=refusing)
    assert [path.name for path in (tmp_path / "cache").iterdir() if path.is_dir()] == []


def test_a_learnt_tokenizer_gets_the_special_tokens_of_the_objective_and_a_given_one_must_have_them(tmp_path):
    source, wanted = files(fill(tmp_path / "text")), ("[CLS]", "[MASK]")
    plain, _ = prepared(tmp_path / "cache", source)
    marked, _ = prepared(tmp_path / "cache", source, special_tokens=wanted)
    assert marked.folder != plain.folder
    assert marked.tokenizer.special_tokens == {"<|endoftext|>": 0, "[CLS]": 1, "[MASK]": 2}
    again, _ = prepared(tmp_path / "cache", source, special_tokens=wanted, tokenizer_path=marked.folder)
    assert again.train[0].tokens.tobytes() == marked.train[0].tokens.tobytes()
    with pytest.raises(UserError, match=r"has no special tokens \[CLS\], \[MASK\], which train.objective needs"):
        prepared(tmp_path / "cache", source, special_tokens=wanted, tokenizer_path=plain.folder)
