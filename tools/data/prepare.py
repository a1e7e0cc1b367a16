"""Text to token stores, once: `<cache_dir>/<sources>-<fingerprint>/`, with tokenizer.json, and the stores `0/train` and
`0/validation` of the first source, `1/train` and `1/validation` of the next.

The fingerprint covers whatever decides the result (the files' contents, the settings of sources and tokenizer, the
encoding), so a folder is either what is wanted or has another name. It is built beside its place and renamed: never
half-written. Under a launcher every rank calls `prepare` before MPI starts; the first to get the lock does the work,
the others find it done.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scratchgrad.errors import UserError
from scratchgrad.files import DamagedFiles, atomic_directory, read_json, sha256_of, write_json
from scratchgrad.threads import usable_cores
from scratchgrad.tools import tokenizer as tokenizers
from scratchgrad.tools.data.split import TrainValidationSplit, train_validation_split
from scratchgrad.tools.data.token_store import TokenStore, write_token_store
from scratchgrad.tools.data.tokenized import TokenizedExample
from scratchgrad.tools.processes import map_in_processes
from scratchgrad.tools.text import Example, Source
from scratchgrad.tools.tokenizer import END_OF_TEXT, Tokenizer, train_bpe

FORMAT = 2  # rises when the same text would give other token files
CHUNK = 64  # examples that a worker takes at a time
SPLITS = ("train", "validation")
FACTS = "prepared.json"
SECONDS_BETWEEN_LOOKS = 0.1  # at a lock

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
    say: Say,
) -> Prepared:
    """Encode the examples of each source; with the tokenizer of `tokenizer_path`, or with one that is trained on the
    training text of all. Nothing is done that was done before with the same outcome.

    fields: of the examples, that are read. text_fields: those that hold text or lists of words, by default all.
    encoder: what makes, of a tokenizer, the way to encode an example; encoding: a name for it, another one wherever the
    same example would be encoded otherwise. validation: the share of each source. special_tokens: more of them that the
    tokenizer must have, or gets.
    """
    settings: dict[str, Any] = {"format": FORMAT, "encoding": encoding, "fields": list(fields), "share": validation}
    given = _given(tokenizer_path, special_tokens) if tokenizer_path is not None else None
    if given is not None:
        settings["tokenizer"] = given.fingerprint
    else:
        settings |= {"pattern": pattern, "vocab_size": vocab_size, "special_tokens": list(special_tokens)}
    try:
        cache_dir.mkdir(parents=True, exist_ok=True)
        with _locked(cache_dir / ".lock"):
            fingerprint = _fingerprint(sources, settings, cache_dir / "sums.json")
            folder = cache_dir / f"{'+'.join(source.name for source in sources)[:80]}-{fingerprint[:12]}"
            if not folder.exists():
                with atomic_directory(folder) as unfinished:
                    work = _Work(sources, tuple(fields), tuple(text_fields or fields), validation, say)
                    tokenizer = given or work.learn(vocab_size, pattern, special_tokens)
                    tokenizers.save(tokenizer, unfinished)
                    tokenizer = tokenizers.load(unfinished)  # whose ids, in rare cases, are not those of the file given
                    work.build(unfinished, tokenizer, encoder(tokenizer))
    except OSError as error:
        raise UserError(f"data.cache_dir '{cache_dir}' cannot be written: {error.strerror or error}") from None
    return _opened(folder, len(sources))


def _opened(folder: Path, sources: int) -> Prepared:
    try:
        facts, tokenizer = read_json(folder / FACTS), tokenizers.load(folder)
        if tokenizer.fingerprint != facts.get("tokenizer"):
            raise DamagedFiles(f"'{folder}' is damaged: its tokenizer is not the one that made its tokens")
        train, validation = (
            tuple(TokenStore(folder / str(number) / split) for number in range(sources)) for split in SPLITS
        )
    except UserError as damage:
        raise UserError(f"{damage}; remove '{folder}', and it is made again") from None
    return Prepared(folder, tokenizer, train, validation)


def _given(path: Path, special_tokens: Sequence[str]) -> Tokenizer:
    tokenizer = tokenizers.load(path)
    lacking = [name for name in special_tokens if name not in tokenizer.special_tokens]
    if lacking:
        raise UserError(
            f"the tokenizer in '{path}' has no special tokens {', '.join(lacking)}, which train.objective needs; leave "
            "tokenizer.path out, and one is learnt that has them"
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
        write_json(folder / FACTS, {"tokenizer": tokenizer.fingerprint, "sources": facts})
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

        def encoded(side: tuple[bool, Example]) -> tuple[str, int, TokenizedExample]:
            is_validation, example = side
            size = sum(len(text.encode(errors="replace")) for text in self._texts(example))
            return SPLITS[is_validation], size, encode(example)

        folder.mkdir()
        with ExitStack() as stack:
            writers = {name: stack.enter_context(write_token_store(folder / name, vocab_size)) for name in SPLITS}
            sides = split.sides(source.examples(self._fields))
            for name, size, example in map_in_processes(encoded, sides, usable_cores(), CHUNK):
                writers[name].append(example)
                sizes[name] += size
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

    def _texts(self, example: Example) -> list[str]:
        values = (example.fields.get(field) for field in self._text_fields)
        texts = (" ".join(map(str, value)) if isinstance(value, list) else value for value in values)
        return [text for text in texts if isinstance(text, str)]


def _fingerprint(sources: Sequence[Source], settings: dict[str, Any], sums_file: Path) -> str:
    """sha256 over the settings and every file's name and content.

    A file whose size and time of change are those of the last look is not read again: its sum is in `sums_file`.
    """
    try:
        known = json.loads(sums_file.read_bytes())
    except (OSError, ValueError):
        known = {}
    sums, described = {}, []
    for source in sources:
        paths = source.paths()
        described.append([source.name, repr(source), [path.as_posix() for path in paths]])
        for path in paths:
            status = path.stat()
            key = f"{path.absolute()} {status.st_size} {status.st_mtime_ns}"
            sums[key] = known.get(key) or sha256_of(path)
    if not sums.keys() <= known.keys():
        sums_file.write_text(json.dumps({**known, **sums}))
    whole = json.dumps([settings, described, list(sums.values())])
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
