"""From sources to token stores: what is done again, and what is whole whatever happens."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from scratchgrad import UserError
from scratchgrad.files import sha256_of, sums
from scratchgrad.tools import tokenizer as tokenizers
from scratchgrad.tools.data import TextLayout, prepare, train_validation_split
from scratchgrad.tools.text import build_source
from tests.tools.tokenizer_texts import load

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


@pytest.mark.slow
@pytest.mark.parametrize("name", [
    "03_tokenizers/spm/llama2.model", "03_tokenizers/spm/t5_base.model", "02_models/llama2_tokenizer/tokenizer.bin",
    "03_tokenizers/tiktoken/cl100k_base.tiktoken", "03_tokenizers/wordpiece/bert_base_uncased_vocab.txt",
])  # fmt: skip
def test_a_tokenizer_of_any_format_is_kept_as_a_tokenizer_json(tmp_path, data_folder, name):
    source = files(fill(tmp_path / "text", 3))
    done, _ = prepared(tmp_path / "cache", source, tokenizer_path=data_folder / name)
    assert (done.folder / "tokenizer.json").exists()
    given, kept = load(data_folder / name), tokenizers.load(done.folder)
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
    ("prepared.json", b"{}", "prepared.json' was altered"), ("tokenizer.json", b"", "tokenizer.json' was altered"),
    ("0/validation/manifest.json", None, "0/validation/manifest.json' was altered"),
])  # fmt: skip
def test_a_damaged_folder_is_told_with_what_to_do(tmp_path, name, damage, words):
    source = files(fill(tmp_path / "text", 8))
    done, _ = prepared(tmp_path / "cache", source)
    (done.folder / name).write_bytes(damage) if damage is not None else (done.folder / name).unlink()
    with pytest.raises(UserError, match=words) as told:
        prepared(tmp_path / "cache", source)
    assert str(told.value).endswith(f"; remove '{done.folder}', and it is made again")


def test_any_change_of_equal_size_is_seen_and_what_is_told_to_be_removed_mends_it(tmp_path):
    source = build_source("reverse", pairs=60)
    done, _ = prepared(tmp_path / "cache", source, encoding="pair")
    whole = {path.relative_to(done.folder): path.read_bytes() for path in done.folder.rglob("*") if path.is_file()}
    assert {"tokens.bin", "offsets.bin", "is_target.bin", "manifest.json", "prepared.json", "tokenizer.json"} <= {
        path.name for path in whole
    }
    for path, content in whole.items():
        for place in (1, len(content) // 3, len(content) // 2, len(content) - 3):
            before = (done.folder / path).stat()
            damaged = bytearray(content)
            damaged[place] ^= 1
            (done.folder / path).write_bytes(damaged)
            os.utime(done.folder / path, ns=(before.st_atime_ns, before.st_mtime_ns))
            with pytest.raises(UserError) as told:
                prepared(tmp_path / "cache", source, encoding="pair")
            assert str(told.value).endswith(f"; remove '{done.folder}', and it is made again"), (path, place)
            assert len(str(told.value).replace(str(tmp_path), "")) < 300
        (done.folder / path).write_bytes(content)
    prepared(tmp_path / "cache", source, encoding="pair")
    (done.folder / "0" / "train" / "tokens.bin").write_bytes(b"")
    shutil.rmtree(done.folder)
    prepared(tmp_path / "cache", source, encoding="pair")
    again = {path.relative_to(done.folder): path.read_bytes() for path in done.folder.rglob("*") if path.is_file()}
    assert again == whole


def test_tokens_are_not_read_again_at_every_start(tmp_path, monkeypatch):
    source = files(fill(tmp_path / "text", 8))
    read = []
    monkeypatch.setattr(sums, "sha256_of", lambda path: read.append(path.name) or sha256_of(path))
    prepared(tmp_path / "cache", source)
    assert read.count("tokens.bin") == 2
    read.clear()
    prepared(tmp_path / "cache", source)
    assert read == []


def test_a_text_that_cannot_be_read_is_named_and_not_the_cache(tmp_path):
    (fill(tmp_path / "text", 8) / "x.txt").symlink_to(
        "/proc/self/mem"
    )  # a file that gives an error to whoever reads it
    with pytest.raises(UserError, match=r"text/x.txt' cannot be read: Input/output error"):
        prepared(tmp_path / "cache", files(tmp_path / "text"))


FEW_FILES = """
import resource, sys
from pathlib import Path
from scratchgrad import UserError
from tests.tools.test_prepare import files, prepared
source = files(Path(sys.argv[1]))
limit = len(list(Path("/proc/self/fd").iterdir())) + int(sys.argv[3])
resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
try:
    prepared(Path(sys.argv[2]), source)
except UserError as told:
    print(told)
"""


@pytest.mark.parametrize("more", [1, 2, 4, 6])
def test_too_few_open_files_are_told_with_the_remedy(tmp_path, more):
    words = [sys.executable, "-c", FEW_FILES, fill(tmp_path / "text", 8), tmp_path / "cache", str(more)]
    done = subprocess.run(words, capture_output=True, text=True, cwd=Path(__file__).parents[2])
    assert re.fullmatch(
        r"no more files can be opened: the limit is \d+ at once; raise it, as by: ulimit -n 4096\n", done.stdout
    ), done.stdout + done.stderr


HUGE_RECORD = """
import resource, sys
from pathlib import Path
from scratchgrad.tools.text import build_source
from tests.tools.test_prepare import prepared
done, _ = prepared(Path(sys.argv[2]), build_source("files", files=[sys.argv[1]]))
print(max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)) / 1000)
"""


@pytest.mark.slow
@pytest.mark.parametrize("ending", ["txt", "jsonl"])
def test_a_record_of_100_mb_takes_600_mb(tmp_path, ending):
    path, whole = tmp_path / f"a.{ending}", "".join(text(seed, 40_000) for seed in range(20)) * 33
    path.write_text(whole if ending == "txt" else json.dumps({"text": whole}) + "\n")
    assert path.stat().st_size > 100e6
    # By a shell: the peak of a process that this one starts begins with what this one has, which may be gigabytes.
    words = ["sh", "-c", '"$@"; exit $?', "sh", sys.executable, "-c", HUGE_RECORD, path, tmp_path / "cache"]
    done = subprocess.run(words, capture_output=True, text=True, cwd=Path(__file__).parents[2])
    assert float(done.stdout) < 600, done.stdout + done.stderr


def test_a_record_that_no_worker_is_given_has_the_same_tokens(tmp_path, monkeypatch):
    source = files(fill(tmp_path / "text", 9))
    usual, _ = prepared(tmp_path / "one", source)
    monkeypatch.setattr(sys.modules["scratchgrad.tools.data.prepare"], "HUGE", len(text(3)) - 1)
    huge, _ = prepared(tmp_path / "two", source)
    assert (huge.folder / "prepared.json").read_bytes() == (usual.folder / "prepared.json").read_bytes()
