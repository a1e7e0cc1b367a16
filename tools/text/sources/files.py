"""The user's own files."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from scratchgrad.errors import UserError
from scratchgrad.tools.text.example import Example, Skipped
from scratchgrad.tools.text.files import find_files
from scratchgrad.tools.text.reading import SUFFIXES, read_examples
from scratchgrad.tools.text.source import Source


@dataclass(frozen=True)
class FilesSource(Source):
    """files: globs. What each file holds follows from its name: see `read_examples`."""

    files: Sequence[str]

    def paths(self) -> list[Path]:
        return find_files(self.files, SUFFIXES)

    def examples(self, fields: Sequence[str] = ("text",)) -> Iterator[Example]:
        for path in self.paths():
            yield from self.read(path, fields)

    def read(
        self, path: Path, fields: Sequence[str] = ("text",), skipped: Callable[[Skipped], None] | None = None
    ) -> Iterator[Example]:
        try:
            yield from read_examples(path, fields)
        except UserError as error:
            if skipped is None:
                raise
            skipped(Skipped(path.as_posix(), str(error)))
