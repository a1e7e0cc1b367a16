"""Where text comes from: documents by name, in a fixed order, each for training or validation."""

from __future__ import annotations

import hashlib
import sysconfig
import tokenize
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from scratchgrad.tools.text_files import find_text_files, read_texts

# Parts of the standard library that are not prose about programs: tests, and tables that programs wrote.
LEFT_OUT_FOLDERS = {
    "site-packages",
    "dist-packages",
    "test",
    "tests",
    "idle_test",
    "__pycache__",
    "encodings",
    "pydoc_data",
}
LEFT_OUT_FILES = ("_sysconfigdata", "_opcode_metadata", "stringprep", "token.py")


@dataclass(frozen=True)
class Document:
    name: str
    text: str
    is_validation: bool


class StdlibSource:
    """The sources of the standard library of the interpreter that runs: real text that every machine has."""

    name = "stdlib"

    def __init__(self, validation: float) -> None:
        self._root, self.validation = Path(sysconfig.get_paths()["stdlib"]), validation

    def files(self) -> list[Path]:
        """In the order of their relative paths."""
        found = [path for path in self._root.rglob("*.py") if self._is_wanted(path.relative_to(self._root))]
        return sorted(found, key=lambda path: path.relative_to(self._root).as_posix())

    def documents(self) -> Iterator[Document]:
        for path in self.files():
            name = path.relative_to(self._root).as_posix()
            with tokenize.open(path) as file:  # heeds a coding line
                yield Document(name, file.read(), is_chosen(name, self.validation))

    @staticmethod
    def _is_wanted(relative: Path) -> bool:
        return not LEFT_OUT_FOLDERS.intersection(relative.parts) and not relative.name.startswith(LEFT_OUT_FILES)


class FilesSource:
    """The user's own files: .txt, .md, .py whole, .jsonl and .jsonl.gz record by record (their field `text`).

    A document is put into validation by a hash of its name, so that it stays on its side when others come. A single
    document is cut instead: its last share becomes validation.
    """

    name = "files"

    def __init__(self, globs: Sequence[str], validation: float) -> None:
        self._globs, self.validation = globs, validation

    def files(self) -> list[Path]:
        return find_text_files(self._globs)

    def documents(self) -> Iterator[Document]:
        texts = (text for path in self.files() for text in read_texts(path))
        first = next(texts)
        second = next(texts, None)
        if second is None:
            name, text = first
            border = text.rfind("\n", 0, int(len(text) * (1 - self.validation))) + 1 or len(text) // 2
            yield Document(name, text[:border], False)
            yield Document(name, text[border:], True)
            return
        for name, text in (first, second, *texts):
            yield Document(name, text, is_chosen(name, self.validation))


class Source(Protocol):
    """name and validation, the share not to be trained on, stand for all that decides the documents beside files."""

    name: str
    validation: float

    def files(self) -> list[Path]:
        """What is read, in a fixed order."""

    def documents(self) -> Iterator[Document]: ...


def is_chosen(name: str, share: float) -> bool:
    """Is this one of the validation `share`? The same answer for the same name on every machine."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") < share * 2**64
