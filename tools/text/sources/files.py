"""The user's own files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from scratchgrad.tools.text.example import Example
from scratchgrad.tools.text.files import find_files
from scratchgrad.tools.text.raw_file import MAX_DOCUMENT_BYTES, OnSkipped
from scratchgrad.tools.text.reading import read_examples, suffixes
from scratchgrad.tools.text.source import Source


@dataclass(frozen=True)
class FilesSource(Source):
    """files: globs and folders. What each holds follows from its name; `read_examples` says more, and of the others."""

    files: Sequence[str]
    text_column: str | None = None
    max_document_bytes: int = MAX_DOCUMENT_BYTES

    def paths(self) -> list[Path]:
        return find_files(self.files, suffixes())

    def left_out(self) -> Counter[str]:
        """How many files of each ending lie in the folders, and are not read."""
        left_out: Counter[str] = Counter()
        find_files(self.files, suffixes(), left_out)
        return left_out

    def read(
        self, path: Path, fields: Sequence[str] = ("text",), skipped: OnSkipped | None = None
    ) -> Iterator[Example]:
        return read_examples(
            path, fields, skipped, text_column=self.text_column, max_document_bytes=self.max_document_bytes
        )

    def examples(self, fields: Sequence[str] = ("text",)) -> Iterator[Example]:
        for path in self.paths():
            yield from self.read(path, fields)
