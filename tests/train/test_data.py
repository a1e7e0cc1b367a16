"""From text to batches: what is validation, what is done again, what a step sees."""

import gzip
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
from scratchgrad.train.data import FilesSource, NextToken, StdlibSource, TrainBatches, prepare, validation_batches

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


def text(seed: int, words: int = 400) -> str:
    rng = np.random.default_rng(seed)
    return " ".join(rng.choice(WORDS, words)) + "\n"


def fill(folder: Path, count: int = 30) -> Path:
    folder.mkdir()
    for i in range(count):
        (folder / f"{i:02d}.txt").write_text(text(i))
    return folder


def prepared(source, cache, **changes):
    lines = []
    settings = {"vocab_size": 300, "pattern": "gpt4", "tokenizer_path": None, "say": lines.append, **changes}
    return prepare(source, cache, **settings), lines


def test_the_standard_library_is_prose_about_programs_with_a_part_validation():
    documents = list(StdlibSource(0.05).documents())
    names = [document.name for document in documents]
    assert names == sorted(names)
    assert "argparse.py" in names
    assert not [name for name in names if "site-packages" in name or "/test/" in name or name.startswith("encodings")]
    validation = sum(len(d.text) for d in documents if d.is_validation) / sum(len(d.text) for d in documents)
    assert 0.02 < validation < 0.1
    assert [d.name for d in StdlibSource(0.05).documents() if d.is_validation] == [
        d.name for d in documents if d.is_validation
    ]


def test_files_are_documents_and_so_are_the_records_of_jsonl(tmp_path):
    (tmp_path / "a.txt").write_text("one")
    (tmp_path / "b.md").write_text("two 🙂")
    lines = "".join(json.dumps({"text": word, "more": 1}) + "\n" for word in ("three", "four")) + "\n"
    (tmp_path / "c.jsonl").write_text(lines)
    (tmp_path / "d.jsonl.gz").write_bytes(gzip.compress(lines.encode()))
    documents = list(FilesSource([f"{tmp_path}/*.txt", f"{tmp_path}/*"], 0.5).documents())
    assert [d.text for d in documents] == ["one", "two 🙂", "three", "four", "three", "four"]
    assert documents[3].name.endswith("c.jsonl:2")


def test_a_document_stays_on_its_side_when_others_come(tmp_path):
    folder = fill(tmp_path / "text", 40)
    before = {d.name: d.is_validation for d in FilesSource([f"{folder}/*.txt"], 0.3).documents()}
    assert 0 < sum(before.values()) < 40
    (folder / "00a.txt").write_text("new")
    after = {d.name: d.is_validation for d in FilesSource([f"{folder}/*.txt"], 0.3).documents()}
    assert {name: after[name] for name in before} == before


def test_a_single_document_is_cut_at_a_line(tmp_path):
    (tmp_path / "book.txt").write_text("".join(f"line {i}\n" for i in range(100)))
    train, validation = FilesSource([f"{tmp_path}/book.txt"], 0.1).documents()
    assert train.text + validation.text == (tmp_path / "book.txt").read_text()
    assert validation.text.startswith("line 9")
    assert (train.is_validation, validation.is_validation) == (False, True)


def test_tokens_are_the_documents_each_after_an_end_of_text(tmp_path):
    source = FilesSource([f"{fill(tmp_path / 'text')}/*.txt"], 0.2)
    done, _ = prepared(source, tmp_path / "cache")
    assert done.tokens("train").dtype == np.uint16
    for split, is_validation in (("train", False), ("validation", True)):
        wanted = "".join("<|endoftext|>" + d.text for d in source.documents() if d.is_validation == is_validation)
        assert done.tokenizer.decode(done.tokens(split).tolist()) == wanted
    manifest = json.loads((done.folder / "manifest.json").read_text())
    assert manifest["tokenizer"] == done.tokenizer.fingerprint
    assert manifest["train"]["documents"] + manifest["validation"]["documents"] == 30
    assert manifest["train"]["tokens"] == len(done.tokens("train"))


def test_a_large_vocabulary_gets_wider_ids(tmp_path, data_folder):
    folder = fill(tmp_path / "text", 3)
    gpt2 = data_folder / "03_tokenizers" / "gpt2"
    narrow, _ = prepared(FilesSource([f"{folder}/*.txt"], 0.4), tmp_path / "cache", tokenizer_path=gpt2)
    assert narrow.tokens("train").dtype == np.uint16
    assert narrow.tokenizer.vocab_size == 50257


def test_nothing_is_done_twice_and_everything_when_something_changed(tmp_path):
    folder = fill(tmp_path / "text")
    source = FilesSource([f"{folder}/*.txt"], 0.2)
    first, said = prepared(source, tmp_path / "cache")
    assert said
    again, said = prepared(source, tmp_path / "cache")
    assert (again.folder, said) == (first.folder, [])
    others = [prepared(source, tmp_path / "cache", vocab_size=301)[0].folder]
    others.append(prepared(source, tmp_path / "cache", pattern="gpt2")[0].folder)
    others.append(prepared(FilesSource([f"{folder}/*.txt"], 0.3), tmp_path / "cache")[0].folder)
    (folder / "03.txt").write_text(text(99))
    others.append(prepared(source, tmp_path / "cache")[0].folder)
    (folder / "03.txt").write_text(text(3))
    assert prepared(source, tmp_path / "cache")[0].folder == first.folder, "the content counts, not the time of change"
    assert len({first.folder, *others}) == 5


def test_a_damaged_token_file_is_told(tmp_path):
    source = FilesSource([f"{fill(tmp_path / 'text')}/*.txt"], 0.2)
    done, _ = prepared(source, tmp_path / "cache")
    (done.folder / "train.bin").write_bytes(b"")
    with pytest.raises(UserError, match=r"'train\.bin' has 0 bytes"):
        prepared(source, tmp_path / "cache")


PREPARER = """
import sys
from pathlib import Path
from scratchgrad.train.data import FilesSource, prepare
source = FilesSource([sys.argv[1] + "/*.txt"], 0.2)
done = prepare(source, Path(sys.argv[2]), vocab_size=300, pattern="gpt4", tokenizer_path=None, say=lambda s: print(s, flush=True))
print(done.folder)
"""


def start(folder, cache):
    arguments = [sys.executable, "-c", PREPARER, str(folder), str(cache)]
    return subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True, start_new_session=True)


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
    done, _ = prepared(FilesSource([f"{folder}/*.txt"], 0.2), tmp_path / "cache")
    names = sorted(path.name for path in (tmp_path / "cache").iterdir())
    assert names == sorted([".lock", "sums.json", done.folder.name])
    whole, _ = prepared(FilesSource([f"{folder}/*.txt"], 0.2), tmp_path / "other")
    assert done.tokens("train").tobytes() == whole.tokens("train").tobytes()


def test_a_cache_that_cannot_be_written_is_told(tmp_path):
    source = FilesSource([f"{fill(tmp_path / 'text')}/*.txt"], 0.2)
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"data.cache_dir '.*/file/cache' cannot be written: Not a directory"):
        prepared(source, tmp_path / "file" / "cache")


def test_an_epoch_sees_every_window_once_and_the_next_one_in_another_order():
    tokens = np.arange(1000, dtype=np.uint16)
    batches = TrainBatches(tokens, NextToken(10), batch_size=7, seed=3)
    windows = (1000 - 1) // 10 - 1
    rows = [batches.rows(step, 0, 7) for step in range(2 * windows)]
    starts = np.concatenate([row["ids"][:, 0] for row in rows])[: 2 * windows]
    assert all((row["targets"] - row["ids"] == 1).all() for row in rows)
    first, second = starts[:windows], starts[windows:]
    for epoch in (first, second):
        assert len(set(epoch.tolist())) == windows
        assert len({start % 10 for start in epoch.tolist()}) == 1, "neighbouring windows from one offset on"
    assert first.tolist() != sorted(first.tolist())
    assert first.tolist() != second.tolist()


def test_a_step_is_a_function_of_the_seed_and_its_number():
    tokens = np.random.default_rng(0).integers(0, 500, 5000).astype(np.uint16)
    one, two = (TrainBatches(tokens, NextToken(16), 8, seed=5) for _ in range(2))
    for step in (900, 3, 41):
        whole = one.rows(step, 0, 8)
        parts = [two.rows(step, first, first + 2) for first in (4, 0, 6, 2)]
        for name in ("ids", "targets"):
            assert np.array_equal(whole[name], np.concatenate([parts[i][name] for i in (1, 3, 0, 2)]))
    other = TrainBatches(tokens, NextToken(16), 8, seed=6)
    assert not np.array_equal(one.rows(0, 0, 8)["ids"], other.rows(0, 0, 8)["ids"])


@pytest.mark.parametrize("length", [11, 12, 20, 21, 22, 31])
def test_the_shortest_texts(length):
    rows = TrainBatches(np.arange(length), NextToken(10), batch_size=3, seed=0).rows(5, 0, 3)
    inputs, targets = rows["ids"], rows["targets"]
    assert inputs.shape == targets.shape == (3, 10)
    assert (targets - inputs == 1).all()


def test_a_text_shorter_than_a_sequence_is_told():
    with pytest.raises(UserError, match="the training text has 10 tokens, and one sequence needs 11"):
        TrainBatches(np.arange(10), NextToken(10), batch_size=3, seed=0)
    with pytest.raises(UserError, match="the validation text has 0 tokens, and one sequence needs 11"):
        validation_batches(np.empty(0, np.uint16), NextToken(10), np.ones(5, np.int64), 4, 100)


def test_held_out_windows_are_spread_over_the_text_and_count_their_bytes():
    tokens = np.arange(1001)
    lengths = np.random.default_rng(0).integers(1, 9, 1001)
    validation = validation_batches(tokens, NextToken(10), lengths, batch_size=8, limit=300)
    targets, inputs = (np.concatenate([batch[name] for batch in validation.batches]) for name in ("targets", "ids"))
    counted = targets[targets != -100]
    assert validation.tokens == len(counted) == 300
    assert validation.text_bytes == lengths[counted].sum()
    assert (counted - inputs[targets != -100] == 1).all()
    assert counted.min() < 50
    assert counted.max() > 950
    assert all(batch["ids"].shape == (8, 10) for batch in validation.batches)
    assert validation_batches(tokens, NextToken(10), lengths, 8, 10**9).tokens == 1000


def test_a_learnt_tokenizer_gets_the_special_tokens_of_the_objective_and_a_given_one_must_have_them(tmp_path):
    source, wanted = FilesSource([f"{fill(tmp_path / 'text')}/*.txt"], 0.2), ("[CLS]", "[MASK]")
    plain, _ = prepared(source, tmp_path / "cache")
    marked, _ = prepared(source, tmp_path / "cache", special_tokens=wanted)
    assert marked.folder != plain.folder
    assert marked.tokenizer.special_tokens == {"<|endoftext|>": 0, "[CLS]": 1, "[MASK]": 2}
    again, _ = prepared(source, tmp_path / "cache", special_tokens=wanted, tokenizer_path=marked.folder)
    assert again.tokens("train").tobytes() == marked.tokens("train").tobytes()
    with pytest.raises(UserError, match=r"has no special tokens \[CLS\], \[MASK\], which train.objective needs"):
        prepared(source, tmp_path / "cache", special_tokens=wanted, tokenizer_path=plain.folder)
