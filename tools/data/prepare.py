"""Text to token stores, once: `<cache_dir>/<sources>-<fingerprint>/`, with tokenizer.json, and the stores `0/train` and
`0/validation` of the first source, `1/train` and `1/validation` of the next.

The fingerprint covers whatever decides the result (the files' contents, the settings of sources and tokenizer, the
encoding), so a folder is either what is wanted or has another name. It is built beside its place and renamed: never
half-written. prepared.json holds its own sum and those of the others, but for what the stores' manifests have: all are
compared when a folder is opened. Under a launcher every rank calls `prepare` before MPI starts; the first to get
the lock does the work, the others find it done.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from scratchgrad.errors import UserError
from scratchgrad.files import (
    DamagedFiles,
    KnownSums,
    atomic_directory,
    machine_fault,
    read_json,
    sha256_of,
    write_json,
)
from scratchgrad.files.faults import DISK
from scratchgrad.files.manifest import NAME as MANIFEST
from scratchgrad.threads import usable_cores
from scratchgrad.tools import tokenizer as tokenizers
from scratchgrad.tools.data.split import TrainValidationSplit, train_validation_split
from scratchgrad.tools.data.token_store import TokenStore, write_token_store
from scratchgrad.tools.data.tokenized import TokenizedExample
from scratchgrad.tools.processes import map_in_processes
from scratchgrad.tools.text import Example, Source, tells_read_faults
from scratchgrad.tools.tokenizer import END_OF_TEXT, Tokenizer, train_bpe

FORMAT = 3  # rises when the same text would give other files
CHUNK = 64  # examples that a worker takes at a time
HUGE = 32 << 20  # characters
PART = 1 << 20  # characters
SPLITS = ("train", "validation")
FACTS = "prepared.json"
SECONDS_BETWEEN_LOOKS = 0.1  # at a lock

Side = tuple[bool, Example]  # whether it is validation
Encoded = tuple[str, int, TokenizedExample]  # the split, bytes of text
Encode = Callable[[Example], TokenizedExample]
Say = Callable[[str], None]


@dataclass(frozen=True)
class Prepared:
    """Where the tokens lie, the tokenizer that made them, and the stores of each split, in the order of the sources."""

    folder: Path
    tokenizer: Tokenizer
    train: tuple[TokenStore, ...]
    validation: tuple[TokenStore, ...]


def prepare(
    sources: Sequence[Source],
    cache_dir: Path,
    *,
    fields: Sequence[str],
    text_fields: Sequence[str] | None = None,
    encoder: Callable[[Tokenizer], Encode],
    encoding: str,
    validation: float,
    vocab_size: int,
    pattern: str,
    tokenizer_path: Path | None,
    special_tokens: Sequence[str] = (),
    add_tokens: Sequence[str] = (),
    say: Say,
) -> Prepared:
    """Encode the examples of each source; with the tokenizer of `tokenizer_path`, or with one that is trained on the
    training text of all. Nothing is done that was done before with the same outcome.

    fields: of the examples, that are read. text_fields: those that hold text or lists of words, by default all.
    encoder: what makes, of a tokenizer, the way to encode an example; encoding: a name for it, another one wherever the
    same example would be encoded otherwise. validation: the share of each source. special_tokens: more of them that the
    tokenizer must have, or gets where it is trained here. add_tokens: those that it gets in any case.
    """
    settings: dict[str, Any] = {"format": FORMAT, "encoding": encoding, "fields": list(fields), "share": validation}
    given = _given(tokenizer_path, special_tokens, add_tokens) if tokenizer_path is not None else None
    if given is not None:
        settings["tokenizer"] = given.fingerprint
    else:
        special_tokens = tuple(dict.fromkeys((*special_tokens, *add_tokens)))
        settings |= {"pattern": pattern, "vocab_size": vocab_size, "special_tokens": list(special_tokens)}
    try:
        cache_dir.mkdir(parents=True, exist_ok=True)
        with _locked(cache_dir / ".lock"):
            sums = KnownSums(cache_dir / "sums.json")
            fingerprint = _fingerprint(sources, settings, sums)
            folder = cache_dir / f"{'+'.join(source.name for source in sources)[:80]}-{fingerprint[:12]}"
            if not folder.exists():
                with atomic_directory(folder) as unfinished:
                    work = _Work(sources, tuple(fields), tuple(text_fields or fields), validation, say)
                    tokenizer = given or work.learn(vocab_size, pattern, special_tokens)
                    tokenizers.save(tokenizer, unfinished)
                    tokenizer = tokenizers.load(unfinished)  # whose ids, in rare cases, are not those of the file given
                    work.build(unfinished, tokenizer, encoder(tokenizer))
            prepared = _opened(folder, len(sources), sums)
            sums.save()
            return prepared
    except OSError as error:
        raise _told(error, cache_dir) from None


def _told(error: OSError, cache_dir: Path) -> UserError:
    """An error of the operating system that is none of a source, which tells its own."""
    name = error.filename if isinstance(error.filename, str) else str(cache_dir)
    is_ours = Path(name).absolute().is_relative_to(cache_dir.absolute()) or cache_dir.is_relative_to(name)
    if error.errno not in DISK or is_ours:
        fault = machine_fault(error) if error.errno not in DISK else None
        return fault or UserError(f"data.cache_dir '{cache_dir}' cannot be written: {error.strerror or error}")
    return UserError(f"'{name}' cannot be read or written: {error.strerror}")


def _opened(folder: Path, sources: int, sums: KnownSums) -> Prepared:
    try:
        facts = read_json(folder / FACTS)
        if facts.pop("sha256", None) != _sum_of(facts):
            raise DamagedFiles(f"'{folder / FACTS}' was altered")
        for name, sum in facts["sums"].items():
            if not (folder / name).is_file() or sha256_of(folder / name) != sum:
                raise DamagedFiles(f"'{folder / name}' was altered")
        tokenizer = tokenizers.load(folder)
        train, validation = (
            tuple(TokenStore(folder / str(number) / split, sha256=sums.sha256) for number in range(sources))
            for split in SPLITS
        )
    except UserError as damage:
        raise UserError(f"{damage}; remove '{folder}', and it is made again") from None
    return Prepared(folder, tokenizer, train, validation)


def _described(folder: Path) -> dict[str, str]:
    """The sums of all files but prepared.json and those that the stores' manifests have; by name."""
    own = [path for path in folder.iterdir() if path.is_file() and path.name != FACTS]
    paths = sorted([*own, *folder.rglob(MANIFEST)])
    return {path.relative_to(folder).as_posix(): sha256_of(path) for path in paths}


def _sum_of(facts: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _given(path: Path, special_tokens: Sequence[str], add_tokens: Sequence[str]) -> Tokenizer:
    tokenizer = tokenizers.with_special_tokens(tokenizers.load(path), add_tokens)
    lacking = [name for name in special_tokens if name not in tokenizer.special_tokens]
    if lacking:
        raise UserError(
            f"the tokenizer in '{path}' has no special tokens {', '.join(lacking)}, which train.objective needs; "
            f"give it them, tokenizer.add_tokens=[{', '.join(lacking)}], or leave tokenizer.path out to learn one"
        )
    return tokenizer


class _Work:
    """What is done where nothing was done before."""

    def __init__(
        self,
        sources: Sequence[Source],
        fields: tuple[str, ...],
        text_fields: tuple[str, ...],
        share: float,
        say: Say,
    ) -> None:
        self._sources, self._fields, self._text_fields, self._say = sources, fields, text_fields, say
        self._began = time.monotonic()
        self._names = ", ".join(source.name for source in sources)
        self._splits = [train_validation_split(source.examples(fields), share, fields) for source in sources]

    def learn(self, vocab_size: int, pattern: str, special_tokens: Sequence[str]) -> Tokenizer:
        self._say(f"training a tokenizer of {vocab_size:,} tokens on {self._names}")
        special = (END_OF_TEXT, *special_tokens)
        return train_bpe(
            self._training_texts(), vocab_size, pattern=pattern, special_tokens=special, workers=usable_cores()
        )

    def build(self, folder: Path, tokenizer: Tokenizer, encode: Encode) -> None:
        self._say(f"tokenising {self._names}")
        facts = [
            self._build(folder / str(number), tokenizer.vocab_size, encode, source, split)
            for number, (source, split) in enumerate(zip(self._sources, self._splits, strict=True))
        ]
        whole = {
            "tokenizer": tokenizer.fingerprint,
            "sums": _described(folder),
            "sources": facts,
        }
        write_json(folder / FACTS, {**whole, "sha256": _sum_of(whole)})
        train, validation = (
            {name: sum(source[split][name] for source in facts) for name in ("examples", "bytes", "tokens")}
            for split in SPLITS
        )
        self._say(
            f"{train['examples']:,} examples, {train['bytes'] / 1e6:.1f} MB, {train['tokens']:,} tokens to train on; "
            f"{validation['examples']:,} examples, {validation['tokens']:,} tokens for validation; "
            f"{time.monotonic() - self._began:.1f} s"
        )

    def _build(
        self, folder: Path, vocab_size: int, encode: Encode, source: Source, split: TrainValidationSplit
    ) -> dict[str, Any]:
        sizes = dict.fromkeys(SPLITS, 0)

        def encoded(side: Side) -> Encoded:
            is_validation, example = side
            size = sum(_num_bytes(text) for text in self._texts(example))
            return SPLITS[is_validation], size, encode(example)

        folder.mkdir()
        with ExitStack() as stack:
            writers = {name: stack.enter_context(write_token_store(folder / name, vocab_size)) for name in SPLITS}
            for is_huge, sides in groupby(split.sides(source.examples(self._fields)), self._is_huge):
                for name, size, example in self._map(encoded, sides, is_huge):
                    writers[name].append(example)
                    sizes[name] += size
                    del example  # it may be most of the memory, and the next one is made before the name is taken again
        facts = {
            name: {
                "examples": writer.examples,
                "bytes": sizes[name],
                "tokens": writer.tokens,
                "targets": writer.targets,
            }
            for name, writer in writers.items()
        }
        return {"name": source.name, **facts}

    def _training_texts(self) -> Iterator[str]:
        for source, split in zip(self._sources, self._splits, strict=True):
            for is_validation, example in split.sides(source.examples(self._fields)):
                if not is_validation:
                    yield from self._texts(example)

    def _map(self, work: Callable[[Side], Encoded], sides: Iterator[Side], is_huge: bool) -> Iterator[Encoded]:
        if is_huge:
            return map(work, sides)
        return map_in_processes(work, sides, usable_cores(), CHUNK, self._length)

    def _is_huge(self, side: Side) -> bool:
        """So long that a worker and the pipes to it should not have copies."""
        return self._length(side) > HUGE

    def _length(self, side: Side) -> int:
        return sum(map(len, self._texts(side[1])))

    def _texts(self, example: Example) -> list[str]:
        values = (example.fields.get(field) for field in self._text_fields)
        texts = (" ".join(map(str, value)) if isinstance(value, list) else value for value in values)
        return [text for text in texts if isinstance(text, str)]


def _num_bytes(text: str) -> int:
    """In UTF-8, without a copy of it all."""
    return sum(len(text[start : start + PART].encode(errors="replace")) for start in range(0, len(text), PART))


def _fingerprint(sources: Sequence[Source], settings: dict[str, Any], sums: KnownSums) -> str:
    """sha256 over the settings and every file's name and content."""
    described, of_files = [], []
    for source in sources:
        paths = source.paths()
        described.append([source.name, repr(source), [path.as_posix() for path in paths]])
        for path in paths:
            with tells_read_faults(path):
                of_files.append(sums.sha256(path))
    whole = json.dumps([settings, described, of_files])
    return hashlib.sha256(whole.encode()).hexdigest()


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Held by one process at a time; the kernel takes it back from one that dies.

    Asked for again and again, for a main thread that sleeps in one long call is taken for stuck.
    """
    with path.open("a") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                time.sleep(SECONDS_BETWEEN_LOOKS)
        yield
