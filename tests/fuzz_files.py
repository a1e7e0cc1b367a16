"""Would a damaged file do harm? Whole files of every kind, changed in a few places, are read again and again.

    make fuzz-files                                3,000 mutations for every reader
    python -m tests.fuzz_files --count 500 bert    those of readers whose name has one of these words

Each must load, or end in a UserError of at most 300 characters, none of which steers a terminal: within 5 s and 500 MB
beside what the process had, which runs under these limits. Bytes are turned, cut, doubled and moved; JSON has values
exchanged, dropped and replaced by what tends to be forgotten. A seed belongs to each mutation, and is printed.
"""

from __future__ import annotations

import argparse
import copy
import gzip
import json
import multiprocessing
import random
import re
import resource
import signal
import sys
import tempfile
import traceback
import warnings
from collections.abc import Callable
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from scratchgrad import UserError, manual_seed, models
from scratchgrad.errors import LONGEST_MESSAGE
from scratchgrad.files import (
    load,
    map_tensors,
    read_json,
    save,
    sha256_of,
    verify_manifest,
    write_manifest,
    write_tensors,
)
from scratchgrad.tools import tokenizer as tokenizers
from scratchgrad.tools.conversion import read_source
from scratchgrad.tools.data import TokenizedExample, TokenStore, write_token_store
from scratchgrad.tools.loading import load_language_model
from scratchgrad.tools.text import build_source, read_examples, read_prompts
from scratchgrad.train import metrics
from scratchgrad.train.checkpoint import TrainerState, read_trainer_state
from scratchgrad.train.plot import loss_figure
from scratchgrad.train.recipe_files import load_recipe, to_yaml
from scratchgrad.train.recipe_sum import check_recipe, with_sum
from tests.models.test_directory import BERT, GPT2, LLAMA, T5
from tests.tools.tokenizer_texts import TEXT

CONFIGS = {"bert": BERT, "gpt2": GPT2, "llama": LLAMA, "t5": T5}
SECONDS, MEMORY = 5, 500 << 20
STRANGE: list[Any] = [
    None, True, -1, 0, 1 << 31, 1 << 63, 1 << 200, 1.5, 1e308, "", "a", "\ud800", "\x1b[2J", "x" * 5000, [], {}, [[]],
    {"type": "x"}, [None], "(", "a{4294967294}", "((a{999}){999}){999}", "BPE", "Sequence", "ByteLevel", "Unigram",
]  # fmt: skip

Read = Callable[[Path], object]


def encoded(path: Path) -> object:
    return tokenizers.load(path, **({"pattern": "gpt4"} if path.suffix == ".tiktoken" else {})).encode(TEXT[:100])


def model(path: Path) -> object:
    return models.load_generation_config(path.parent, 50) and models.load(path.parent)


def cached(path: Path) -> object:
    """A folder of prepared data with this file in it, opened as a training run does."""
    from tests.tools.test_prepare import prepared

    source = build_source("files", files=[f"{path.parent}/x.txt"])
    return prepared(path.parent / "cache", source)


def records(path: Path) -> object:
    """metrics.jsonl as a plot and a run that goes on read it."""
    loss_figure(path.parent)
    metrics.truncate(path, 9, "0" * 64)
    return metrics.read(path)


def of_run(path: Path) -> object:
    """recipe.yaml as a run that goes on reads it: its sum, and where that was lost, its values."""
    try:
        check_recipe(path.parent)
    except UserError as told:
        if "is not what the run wrote" not in str(told):
            raise
    return load_recipe(str(path))


def store(path: Path) -> object:
    """A manifest, or an array with the sum that it has now; every example is read."""
    manifest = path.parent / "manifest.json"
    if path != manifest:
        facts = json.loads(manifest.read_bytes())
        facts["files"][path.name] = {"bytes": path.stat().st_size, "sha256": sha256_of(path)}
        manifest.write_text(json.dumps(facts))
    return [(example.ids.sum(), example.columns) for example in TokenStore(path.parent)]


def readers_of_runs(folder: Path) -> dict[str, tuple[Path, Read]]:
    """What a run writes and reads again: its recipe, its metrics, how far it is, and its data."""
    found: dict[str, tuple[Path, Read]] = {}
    run = folder / "run"
    run.mkdir()
    (run / "recipe.yaml").write_text("# made 2026-01-02T03:04:05+00:00\n" + with_sum(to_yaml(load_recipe("toy"))))
    found["recipe.yaml"] = (run / "recipe.yaml", of_run)
    rows = ({"step": i, "tokens": 9 * i, "loss": 9 / i, "learning_rate": 1e-3, "val_loss": 8 / i} for i in range(1, 12))
    (run / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    found["metrics.jsonl"] = (run / "metrics.jsonl", records)
    state = TrainerState(3, 50, 2.5, {"best": 2.5, "since_best": 1}, "0" * 64, "1" * 64)
    (run / "trainer.json").write_text(json.dumps(asdict(state)))
    found["trainer.json"] = (run / "trainer.json", lambda path: read_trainer_state(path.parent))
    (run / "prompts.txt").write_text(TEXT)
    found["prompts txt"] = (run / "prompts.txt", lambda path: list(read_prompts(path)))
    lines = (json.dumps({"prompt": line, "n": 1}) + "\n" for line in TEXT.split("\n"))
    (run / "prompts.jsonl").write_text("".join(lines))
    found["prompts jsonl"] = (run / "prompts.jsonl", lambda path: list(read_prompts(path)))
    with write_token_store(folder / "store", 300) as writer:
        for i in range(9):
            writer.append(TokenizedExample.of(([i, 2], False), (list(range(i, 299, 30)), True), label=i, weight=0.5))
    for name in ("manifest.json", "tokens.bin", "offsets.bin", "is_target.bin", "label.bin"):
        found[f"store {name}"] = (folder / "store" / name, store)
    cache = folder / "data"
    cache.mkdir()
    (cache / "x.txt").write_text("".join(f"{TEXT}\n{i}\n" for i in range(9)))
    cached(cache / "x.txt")
    found["cache sums.json"] = (cache / "cache" / "sums.json", lambda path: cached(cache / "x.txt"))
    (kept,) = (path for path in (cache / "cache").iterdir() if path.is_dir())
    for name in ("prepared.json", "tokenizer.json", "0/train/manifest.json", "0/train/tokens.bin"):
        found[f"cache {name}"] = (kept / name, lambda path: cached(cache / "x.txt"))
    return found


def texts(path: Path) -> object:
    """As curation reads, which nothing in a file may stop, and then as training does."""
    kept = list(read_examples(path, skipped=lambda skipped: None))
    assert all(isinstance(example.text(), str) for example in kept)
    return list(read_examples(path))


def readers_of_text(folder: Path) -> dict[str, tuple[Path, Read]]:
    """A file of every raw format."""
    lines = TEXT.split("\n")
    rows = [{"text": line, "n": i} for i, line in enumerate(lines)]
    of_json = [json.dumps(row).encode() + b"\n" for row in rows]
    page = f"<html><head><meta charset=utf-8><title>x</title></head><body><p>{'</p><p>'.join(lines)}</p></body></html>"
    answer = f"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\n\r\n{page}".encode()
    head = f"WARC/1.0\r\nWARC-Type: response\r\nWARC-Target-URI: http://x.org/\r\nContent-Length: {len(answer)}\r\n\r\n"
    record = head.encode() + answer + b"\r\n\r\n"
    line = f"http://x.org/ 1.2.3.4 20200102030405 text/html {len(answer)}\n"
    contents = {
        "jsonl": b"".join(of_json), "jsonl.gz": b"".join(map(gzip.compress, of_json)),
        "list.json": json.dumps(rows).encode(), "txt": TEXT.encode(),
        "csv": ("id,text\n" + "".join(f'{i},"{line}, ""{i}"""\n' for i, line in enumerate(lines))).encode(),
        "tsv": "".join(f"{line}\n" for line in lines).encode(),
    }  # fmt: skip
    if all(find_spec(name) for name in ("pyarrow", "zstandard", "fastwarc", "resiliparse")):  # the extra curate
        import pyarrow as pa
        import pyarrow.parquet as pq
        import zstandard

        contents |= {
            "html": page.encode(), "warc": record * 3, "warc.gz": gzip.compress(record) * 3,
            "arc": (line.encode() + answer + b"\n") * 3,
            "jsonl.zst": b"".join(map(zstandard.ZstdCompressor().compress, of_json)),
        }  # fmt: skip
        table = pa.table({"text": lines, "n": list(range(len(lines)))})
        for name, new in {"arrow": pa.ipc.new_stream, "file.arrow": pa.ipc.new_file}.items():
            with new(str(folder / name), table.schema) as writer:
                writer.write_table(table, max_chunksize=2)
            contents[name] = (folder / name).read_bytes()
        pq.write_table(table, folder / "parquet", row_group_size=3)
        contents["parquet"] = (folder / "parquet").read_bytes()
    for name, content in contents.items():
        (folder / f"raw.{name}").write_bytes(content)
    return {f"text {name}": (folder / f"raw.{name}", texts) for name in contents}


def readers(folder: Path) -> dict[str, tuple[Path, Read]]:
    """By name: a whole file, and what reads it."""
    manual_seed(0)
    found: dict[str, tuple[Path, Read]] = {}
    small = tokenizers.train_bpe([TEXT], 350, special_tokens=("<|endoftext|>",))
    for name in ("tokenizer.json", "vocab.json", "small.tiktoken"):
        place = folder / f"bpe-{name}"
        place.mkdir()
        tokenizers.save(small, place / name)
        found[f"tokenizer {name}"] = (place / name, encoded)
    found["tokenizer merges.txt"] = (folder / "bpe-vocab.json" / "merges.txt", encoded)
    vocab = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *sorted(set(TEXT) - set(" \n")), "##e", "##t", "the"]
    (folder / "vocab.txt").write_text("\n".join(vocab) + "\n")
    found["tokenizer vocab.txt"] = (folder / "vocab.txt", encoded)
    bert = folder / "bert"
    bert.mkdir()
    tokenizers.save(tokenizers.load(folder / "vocab.txt"), bert)
    found["tokenizer bert"] = (bert / "tokenizer.json", encoded)
    from tests.tools.test_tokenizer_bad_files import FIRST, bin_file, piece
    from tests.tools.test_tokenizer_bad_files import model as sentencepiece

    pieces = [
        piece("<unk>", 0.0, 2),
        piece("</s>", 0.0, 3),
        *(piece(c, -1.0 - i) for i, c in enumerate("▁ateh")),
        piece("th", -1.5),
    ]
    for kind, name in ((1, "unigram"), (2, "bpe")):
        (folder / f"{name}.model").write_bytes(sentencepiece(*pieces, kind=kind))
        found[f"tokenizer {name}.model"] = (folder / f"{name}.model", encoded)
        place = folder / name
        place.mkdir()
        tokenizers.save(tokenizers.load(folder / f"{name}.model"), place)
        found[f"tokenizer {name}"] = (place / "tokenizer.json", encoded)
    (folder / "tokenizer.bin").write_bytes(bin_file([*FIRST, b" ", b"t", b"h", b"th"]))
    found["tokenizer tokenizer.bin"] = (folder / "tokenizer.bin", encoded)
    for name, config in CONFIGS.items():
        place = folder / f"model-{name}"
        built = models.build(models.config_from_dict(config))
        models.save(built, place, {"bos_token_id": 1, "eos_token_id": [1, 2]}, max_shard_size=20_000)
        for file in sorted(place.glob("*.json")):
            found[f"model {name} {file.name}"] = (file, model)
        found[f"model {name} weights"] = (sorted(place.glob("*.safetensors"))[0], model)
    place = folder / "language-model"
    models.save(models.build(models.config_from_dict({**LLAMA, "vocab_size": 350})), place)
    tokenizers.save(small, place)
    found["language model tokenizer_config.json"] = (
        place / "tokenizer_config.json",
        lambda path: load_language_model(path.parent),
    )
    llama = models.build(models.config_from_dict({**LLAMA, "rms_norm_eps": 1e-5}))
    models.write_llama2c(llama, folder / "model.bin")
    found["model llama2c"] = (folder / "model.bin", models.read_llama2c)
    write_tensors(
        folder / "x.safetensors", {"a": np.zeros((3, 4), np.float32), "b": np.ones(5, np.int8)}, {"format": "pt"}
    )
    found["tensors"] = (folder / "x.safetensors", lambda path: [array.sum() for array in map_tensors(path).values()])
    save({"net": {"w": np.ones((2, 3), np.float32)}, "step": 3, "rates": [0.1, None]}, folder / "saved.safetensors")
    found["saved"] = (folder / "saved.safetensors", load)
    write_manifest(folder / "model-gpt2", source="x", numbers=[1, 2.5])
    found["manifest"] = (folder / "model-gpt2" / "manifest.json", lambda path: verify_manifest(path.parent))
    (folder / "x.json").write_text(json.dumps({"a": [1, 2.5, None], "b": {"c": "text"}}))
    found["json"] = (folder / "x.json", read_json)
    found["source"] = (folder / "model-llama" / "config.json", lambda path: read_source(path.parent))
    return found | readers_of_runs(folder) | readers_of_text(folder)


def mutated(raw: bytes, rng: random.Random, is_json: bool) -> bytes:
    if is_json and rng.random() < 0.7:
        content = json.loads(raw)
        for _ in range(rng.randint(1, 3)):
            change_json(content, rng)
        return json.dumps(content).encode()
    data = bytearray(raw)
    for _ in range(rng.randint(1, 6)):
        place, size = rng.randrange(len(data) + 1), rng.choice([1, 1, 1, 2, 4, 8, 30])
        kind = rng.randrange(6)
        if kind == 0:
            data[place : place + size] = rng.randbytes(size)
        elif kind == 1:
            del data[place : place + size]
        elif kind == 2:
            data[place:place] = data[place : place + size]
        elif kind == 3 and place < len(data):
            data[place] ^= 1 << rng.randrange(8)
        elif kind == 4:
            data[place : place + 4] = rng.choice(
                [b"\xff\xff\xff\xff", b"\0\0\0\0", b"\xff\xff\xff\x7f", b"NaN ", b"1e99", b"\n\x1b[2"]
            )
        elif rng.random() < 0.3:
            del data[place:]
    return bytes(data)


def change_json(content: Any, rng: random.Random) -> None:
    """One value somewhere in it, reached by a random way, is replaced, removed, or exchanged with another."""
    while isinstance(content, (dict, list)) and content:
        keys = list(content) if isinstance(content, dict) else list(range(len(content)))
        key = rng.choice(keys)
        inner = content[key]
        if isinstance(inner, (dict, list)) and inner and rng.random() < 0.8:
            content = inner
            continue
        if rng.random() < 0.2:
            del content[key]
        elif rng.random() < 0.2:
            content[key] = copy.deepcopy(content[rng.choice(keys)])
        elif isinstance(content, dict) and rng.random() < 0.1:
            content[str(rng.choice(STRANGE))] = inner
        else:
            content[key] = copy.deepcopy(rng.choice(STRANGE))
        return


def run(name: str, path: Path, read: Read, seeds: range, results: Any) -> None:
    """In a process of its own, under the limits: sends the seed that it is at, and what was wrong with it."""
    warnings.simplefilter("error")
    own = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (own + MEMORY, own + MEMORY))
    raw = path.read_bytes()
    for seed in seeds:
        results.send((seed, None))
        path.write_bytes(mutated(raw, random.Random(f"{name} {seed}"), path.suffix == ".json"))
        signal.alarm(SECONDS)
        try:
            read(path)
        except UserError as told:
            said = re.sub("'/[^']*'", "", str(told))
            if name == "recipe.yaml":  # several mistakes have a line each
                said = max(said.split("\n"), key=len)
            if len(said) > LONGEST_MESSAGE:
                results.send((seed, f"a message of {len(said)} characters: {said}"))
            elif not all(c.isprintable() for c in said):
                results.send((seed, f"characters that steer a terminal: {said!r}"))
        except BaseException:
            results.send((seed, traceback.format_exc(limit=-3)))
        signal.alarm(0)
    path.write_bytes(raw)


def check(name: str, count: int) -> list[str]:
    """The faults that a reader's mutations have found; a process that dies is one, and another one goes on."""
    faults, seed = [], 0
    while seed < count:
        with tempfile.TemporaryDirectory() as folder:
            path, read = readers(Path(folder))[name]
            ours, theirs = multiprocessing.Pipe(duplex=False)
            child = multiprocessing.get_context("fork").Process(
                target=run, args=(name, path, read, range(seed, count), theirs)
            )
            child.start()
            theirs.close()
            try:
                while True:
                    seed, fault = ours.recv()
                    if fault is not None:
                        faults.append(f"{name}, seed {seed}: {fault}")
            except EOFError:
                child.join()
            if child.exitcode:
                faults.append(f"{name}, seed {seed}: ended with {child.exitcode} (-14: longer than {SECONDS} s)")
            seed += 1
    return faults


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("words", nargs="*")
    parser.add_argument("--count", type=int, default=3000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        names = [
            name for name in readers(Path(folder)) if not options.words or any(word in name for word in options.words)
        ]
    wrong = 0
    for name in names:
        faults = check(name, options.count)
        wrong += len(faults)
        print(f"{name}: {options.count} mutations, {len(faults)} faults", flush=True)
        for fault in faults[:5]:
            print(f"    {fault}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
