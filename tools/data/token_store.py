"""Token files: the tokens of many examples one after another, where each begins, and which tokens are targets.

A folder: tokens.bin (uint16, or uint32 for a vocabulary above 65,536), offsets.bin (int64, of each example's first
token, and the number of all tokens), is_target.bin (bool of each token; absent where all are), a file for each further
column, and manifest.json with their sizes, sums and dtypes. It is written beside its place and renamed, so that it is
whole or not there. A store is opened when its files have their sums, and read through the memory map.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np

from scratchgrad.files import DamagedFiles, atomic_directory, sha256_of, verify_manifest, write_manifest
from scratchgrad.files.manifest import NAME as MANIFEST
from scratchgrad.tools.data.tokenized import Array, TokenizedExample

FORMAT = 1
TOKENS, OFFSETS, IS_TARGET = "tokens", "offsets", "is_target"
KINDS = "biuf"  # of the dtypes of columns
WRITTEN_DTYPE = rf"[<|][{KINDS}]\d{{1,2}}"  # as a manifest has them; NumPy would take other spellings, too
BLOCK = 1 << 22  # elements that are looked at or written at once


class TokenStore:
    """A store on disk.

    tokens (tokens,): all ids, a memory map. offsets (examples + 1,) int64: example i is
    tokens[offsets[i] : offsets[i + 1]]. is_target (tokens,) bool. columns: by name, (tokens,) or (examples,).

    DamagedFiles where files are missing, are not what was written, or hold offsets that do not rise; and, when they are
    read, where there are ids outside the vocabulary. sha256: of a file; by default all are read to open a store.
    """

    def __init__(self, folder: Path, *, sha256: Callable[[Path], str] = sha256_of) -> None:
        self.folder = folder
        facts = verify_manifest(folder, sha256=sha256)
        if facts.get("format") != FORMAT:
            raise DamagedFiles(f"'{folder}' is no token store, or one of another version")
        try:
            self.vocab_size, self._examples, size = (int(facts[n]) for n in ("vocab_size", "examples", "tokens"))
            all_targets, columns = bool(facts["all_targets"]), _columns_of(facts["columns"])
        except (KeyError, TypeError, ValueError, AttributeError):
            raise DamagedFiles(f"'{folder / MANIFEST}' does not describe a token store") from None
        self._is_per_token = {name: of == "token" for name, (of, _) in columns.items()}
        lengths = {"token": size, "example": self._examples}
        self.tokens = self._map(TOKENS, token_dtype(self.vocab_size), size)
        self.offsets = self._map(OFFSETS, np.dtype("<i8"), self._examples + 1)
        self.is_target = np.broadcast_to(np.True_, size) if all_targets else self._map(IS_TARGET, np.dtype(bool), size)
        self.columns = {name: self._map(name, dtype, lengths[of]) for name, (of, dtype) in columns.items()}
        self._check_offsets()

    def __len__(self) -> int:
        """How many examples there are."""
        return self._examples

    def __getitem__(self, number: int) -> TokenizedExample:
        """An example as it was encoded, its ids as int64."""
        if not 0 <= number < self._examples:
            raise IndexError(f"'{self.folder}' has {self._examples} examples, and none of number {number}")
        start, end = int(self.offsets[number]), int(self.offsets[number + 1])
        columns = {
            name: column[start:end] if self._is_per_token[name] else column[number]
            for name, column in self.columns.items()
        }
        return TokenizedExample(self.read(start, end), self.is_target[start:end], columns)

    def __iter__(self) -> Iterator[TokenizedExample]:
        return (self[number] for number in range(self._examples))

    def read(self, start: int, end: int) -> Array:
        """tokens[start:end] as int64, whatever examples they belong to. IndexError where they are not all there."""
        if not 0 <= start <= end <= len(self.tokens):
            raise IndexError(f"'{self.folder}' has {len(self.tokens)} tokens, and not all from {start} to {end}")
        ids: Array = self.tokens[start:end].astype(np.int64)
        if len(ids) and ids.max() >= self.vocab_size:
            place = start + int(np.argmax(ids >= self.vocab_size))
            raise DamagedFiles(
                f"'{self.folder}' is damaged: token {place} is {self.tokens[place]}, and the vocabulary has "
                f"{self.vocab_size} tokens; remove the folder, and it is made again"
            )
        return ids

    def verify(self) -> None:
        """DamagedFiles where a file is not what was written by now, or holds an id of no token: reads everything."""
        verify_manifest(self.folder)
        for start in range(0, len(self.tokens), BLOCK):
            self.read(start, min(start + BLOCK, len(self.tokens)))

    def _map(self, name: str, dtype: np.dtype[Any], length: int) -> Array:
        path = self.folder / f"{name}.bin"
        size = path.stat().st_size if path.is_file() else 0
        if size != length * dtype.itemsize:
            raise DamagedFiles(
                f"'{self.folder}' is damaged: '{path.name}' has {size} bytes in place of {length * dtype.itemsize}"
            )
        return np.memmap(path, dtype, "r") if length else np.empty(0, dtype)

    def _check_offsets(self) -> None:
        ends = (int(self.offsets[0]), int(self.offsets[-1]))
        if ends != (0, len(self.tokens)):
            raise DamagedFiles(
                f"'{self.folder}' is damaged: examples reach from token {ends[0]} to {ends[1]}, and there are "
                f"{len(self.tokens)}"
            )
        for start in range(0, self._examples, BLOCK):
            rises = np.diff(self.offsets[start : start + BLOCK + 1]) > 0
            if not rises.all():
                place = start + int(np.argmin(rises))
                raise DamagedFiles(
                    f"'{self.folder}' is damaged: example {place + 1} begins before example {place} ends"
                )


def _columns_of(facts: dict[str, dict[str, str]]) -> dict[str, tuple[str, np.dtype[Any]]]:
    """Of each column in a manifest what it is of, token or example, and its dtype; ValueError where it is no column."""
    for name, column in facts.items():
        of, dtype = column["of"], column["dtype"]
        if not name.isidentifier() or of not in ("token", "example") or not re.fullmatch(WRITTEN_DTYPE, dtype):
            raise ValueError(f"column '{name}' of {of}, {dtype}")
    return {name: (column["of"], np.dtype(column["dtype"])) for name, column in facts.items()}


class TokenStoreWriter:
    """Appends examples to the files of a store; made by `write_token_store`."""

    def __init__(self, folder: Path, vocab_size: int) -> None:
        self.folder, self.vocab_size = folder, vocab_size
        self.examples = self.tokens = self.targets = 0
        self._dtype = token_dtype(vocab_size)
        self._open = ExitStack()
        self._files: dict[str, IO[bytes]] = {}
        self._columns: dict[str, dict[str, str]] | None = None  # of the first example, which the others must have
        self._append(TOKENS, b"")
        self._append(OFFSETS, np.int64(0).tobytes())

    def append(self, example: TokenizedExample) -> None:
        """ValueError where it has no tokens, ids outside the vocabulary, or other columns than those before it."""
        ids, is_target = np.asarray(example.ids), np.asarray(example.is_target)
        columns = {name: np.asarray(column) for name, column in example.columns.items()}
        self._check(ids, is_target, columns)
        if not is_target.all() and IS_TARGET not in self._files:
            for start in range(0, self.tokens, BLOCK):  # all tokens so far were targets
                self._append(IS_TARGET, b"\1" * min(BLOCK, self.tokens - start))
            self._append(IS_TARGET, b"")
        self._append_array(TOKENS, ids, self._dtype)
        if IS_TARGET in self._files:
            self._append_array(IS_TARGET, is_target, np.dtype(bool))
        for name, column in columns.items():
            self._append_array(name, column, column.dtype.newbyteorder("<"))
        self.examples += 1
        self.tokens += len(ids)
        self.targets += int(is_target.sum())
        self._append(OFFSETS, np.int64(self.tokens).tobytes())

    def close(self) -> None:
        self._open.close()

    def facts(self) -> dict[str, Any]:
        """What the manifest tells beside the files."""
        return {
            "format": FORMAT,
            "vocab_size": self.vocab_size,
            "examples": self.examples,
            "tokens": self.tokens,
            "targets": self.targets,
            "all_targets": IS_TARGET not in self._files,
            "columns": self._columns or {},
        }

    def _check(self, ids: Array, is_target: Array, columns: dict[str, Array]) -> None:
        where = f"example {self.examples} of '{self.folder.name}'"
        if ids.ndim != 1 or ids.dtype.kind not in "iu" or not len(ids):
            raise ValueError(f"{where} needs one or more integer ids (tokens,); it has {ids.dtype} {ids.shape}")
        if ids.min() < 0 or ids.max() >= self.vocab_size:
            raise ValueError(f"{where} has ids from {ids.min()} to {ids.max()} for a vocabulary of {self.vocab_size}")
        if is_target.shape != ids.shape:
            raise ValueError(f"{where} has {len(ids)} ids, and is_target {is_target.shape}")
        found = {}
        for name, column in columns.items():
            if name in (TOKENS, OFFSETS, IS_TARGET) or not name.isidentifier():
                raise ValueError(f"{where}: a column cannot be called '{name}'")
            if column.shape not in ((), ids.shape) or column.dtype.kind not in KINDS:
                raise ValueError(
                    f"{where}: column '{name}' is {column.dtype} {column.shape}, not a number, or one a token"
                )
            of = "example" if column.ndim == 0 else "token"
            found[name] = {"of": of, "dtype": column.dtype.newbyteorder("<").str}
        if self._columns is None:
            self._columns = found
        if found != self._columns:
            raise ValueError(f"{where} has columns {found}; those before it have {self._columns}")

    def _append_array(self, name: str, values: Array, dtype: np.dtype[Any]) -> None:
        """In blocks: of a text of a hundred megabytes there is no second copy."""
        flat = values.reshape(-1)
        for start in range(0, len(flat), BLOCK):
            self._append(name, flat[start : start + BLOCK].astype(dtype).tobytes())

    def _append(self, name: str, data: bytes) -> None:
        if name not in self._files:
            self._files[name] = self._open.enter_context((self.folder / f"{name}.bin").open("wb"))
        self._files[name].write(data)


@contextmanager
def write_token_store(folder: Path, vocab_size: int) -> Iterator[TokenStoreWriter]:
    """A writer whose store stands at `folder` when the block ends; nothing is left of it where the block raises.

    FileExistsError where `folder` is there already.
    """
    with atomic_directory(folder) as unfinished:
        writer = TokenStoreWriter(unfinished, vocab_size)
        try:
            yield writer
        finally:
            writer.close()
        write_manifest(unfinished, **writer.facts())


def token_dtype(vocab_size: int) -> np.dtype[Any]:
    """What the ids of a vocabulary are kept in."""
    return np.dtype("<u2" if vocab_size <= 1 << 16 else "<u4")
