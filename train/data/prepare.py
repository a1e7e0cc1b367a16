"""Text to token files, once: `<cache_dir>/<source>-<fingerprint>/` with train.bin, validation.bin and tokenizer.json.

The fingerprint covers whatever decides the result (the files' contents, the settings, the interpreter), so a folder is
either what is wanted or has another name. It is built beside its place and renamed: never half-written. Under a
launcher every rank calls `prepare` before MPI starts; the first to get the lock does the work, the others find it done.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from scratchgrad.errors import UserError
from scratchgrad.files import atomic_directory, sha256_of, verify_manifest, write_manifest
from scratchgrad.threads import usable_cores
from scratchgrad.tools import tokenizer as tokenizers
from scratchgrad.tools.tokenizer import END_OF_TEXT, Tokenizer, train_bpe
from scratchgrad.tools.tokenizer.batches import map_in_processes
from scratchgrad.train.data.sources import Document, Source

FORMAT = 1  # rises when the same text would give other token files
CHUNK = 64  # documents that a worker takes at a time
Say = Callable[[str], None]


@dataclass(frozen=True)
class Prepared:
    """Where the tokens lie, and the tokenizer that made them."""

    folder: Path
    tokenizer: Tokenizer

    def tokens(self, split: str) -> np.ndarray[Any, Any]:
        """'train' or 'validation' as a memory-mapped array of uint16 or uint32."""
        dtype = _dtype(self.tokenizer.vocab_size)
        path = self.folder / f"{split}.bin"
        return np.memmap(path, dtype, "r") if path.stat().st_size else np.empty(0, dtype)


def prepare(
    source: Source,
    cache_dir: Path,
    *,
    vocab_size: int,
    pattern: str,
    tokenizer_path: Path | None,
    special_tokens: Sequence[str] = (),
    say: Say,
) -> Prepared:
    """Tokenise the source's documents, each after an end-of-text token; with the tokenizer of `tokenizer_path`, or with
    one that is trained on the training documents. Nothing is done that was done before with the same outcome.

    special_tokens: more of them that the tokenizer must have, or gets.
    """
    settings: dict[str, Any] = {"format": FORMAT, "pattern": pattern, "vocab_size": vocab_size}
    if special_tokens:
        settings["special_tokens"] = list(special_tokens)
    given = _given(tokenizer_path, special_tokens) if tokenizer_path is not None else None
    if given is not None:
        settings = {"format": FORMAT, "tokenizer": given.fingerprint}
    try:
        cache_dir.mkdir(parents=True, exist_ok=True)
        with _locked(cache_dir / ".lock"):
            fingerprint = _fingerprint(source, settings, cache_dir / "sums.json")
            folder = cache_dir / f"{source.name}-{fingerprint[:12]}"
            if not folder.exists():
                with atomic_directory(folder) as unfinished:
                    tokenizer = given or _learnt(source, vocab_size, pattern, special_tokens, say)
                    _build(source, unfinished, tokenizer, say)
            verify_manifest(folder, sizes_only=True)
    except OSError as error:
        raise UserError(f"data.cache_dir '{cache_dir}' cannot be written: {error.strerror or error}") from None
    return Prepared(folder, tokenizers.load(folder))


def _given(path: Path, special_tokens: Sequence[str]) -> Tokenizer:
    tokenizer = tokenizers.load(path)
    lacking = [name for name in special_tokens if name not in tokenizer.special_tokens]
    if lacking:
        raise UserError(
            f"the tokenizer in '{path}' has no special tokens {', '.join(lacking)}, which train.objective needs; leave "
            "tokenizer.path out, and one is learnt that has them"
        )
    return tokenizer


def _learnt(source: Source, vocab_size: int, pattern: str, special_tokens: Sequence[str], say: Say) -> Tokenizer:
    say(f"training a tokenizer of {vocab_size:,} tokens on {source.name}")
    texts = (document.text for document in source.documents() if not document.is_validation)
    special = (END_OF_TEXT, *special_tokens)
    return train_bpe(texts, vocab_size, pattern=pattern, special_tokens=special, workers=usable_cores())


def _build(source: Source, folder: Path, tokenizer: Tokenizer, say: Say) -> None:
    began = time.monotonic()
    tokenizers.save(tokenizer, folder)
    say(f"tokenising {source.name}")
    counts = {"train": [0, 0, 0], "validation": [0, 0, 0]}  # in the order of `names` below
    files = {split: (folder / f"{split}.bin").open("wb") for split in counts}
    encode = partial(_encode, tokenizer)
    for is_validation, size, ids in map_in_processes(encode, source.documents(), usable_cores(), CHUNK):
        split = "validation" if is_validation else "train"
        files[split].write(ids.tobytes())
        for i, amount in enumerate((1, size, len(ids))):
            counts[split][i] += amount
    for file in files.values():
        file.close()
    facts = {
        split: dict(zip(("documents", "bytes", "tokens"), numbers, strict=True)) for split, numbers in counts.items()
    }
    write_manifest(folder, source=source.name, tokenizer=tokenizer.fingerprint, **facts)
    train, validation = facts["train"], facts["validation"]
    say(
        f"{train['documents']:,} documents, {train['bytes'] / 1e6:.1f} MB, {train['tokens']:,} tokens to train on; "
        f"{validation['documents']:,} documents, {validation['tokens']:,} tokens for validation; "
        f"{time.monotonic() - began:.1f} s"
    )


def _encode(tokenizer: Tokenizer, document: Document) -> tuple[bool, int, np.ndarray[Any, Any]]:
    ids = np.append(np.uint32(tokenizer.end_of_text), tokenizer.encode_array(document.text))
    size = len(document.text.encode(errors="replace"))
    return document.is_validation, size, ids.astype(_dtype(tokenizer.vocab_size))


def _dtype(vocab_size: int) -> np.dtype[Any]:
    return np.dtype("<u2" if vocab_size <= 1 << 16 else "<u4")


def _fingerprint(source: Source, settings: dict[str, Any], sums_file: Path) -> str:
    """sha256 over the settings and every file's name and content.

    A file whose size and time of change are those of the last look is not read again: its sum is in `sums_file`.
    """
    try:
        known = json.loads(sums_file.read_bytes())
    except (OSError, ValueError):
        known = {}
    sums = {}
    for path in source.files():
        status = path.stat()
        key = f"{path.absolute()} {status.st_size} {status.st_mtime_ns}"
        sums[key] = known.get(key) or sha256_of(path)
    if not sums.keys() <= known.keys():
        sums_file.write_text(json.dumps({**known, **sums}))
    whole = json.dumps(
        [source.name, source.validation, settings, [path.as_posix() for path in source.files()], list(sums.values())]
    )
    return hashlib.sha256(whole.encode()).hexdigest()


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Held by one process at a time; the kernel takes it back from one that dies."""
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
