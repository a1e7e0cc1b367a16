"""One file that is read: what is wanted of it, and what becomes of a record that cannot be read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scratchgrad.errors import UserError
from scratchgrad.tools.text.example import Example, Skipped

MAX_DOCUMENT_BYTES = 32 << 20
LONGEST_LINE = 256 << 20  # bytes, where nothing is skipped
COMPRESSIONS = {".gz": "gzip", ".zst": "zstd"}


OnSkipped = Callable[[Skipped], None]


@dataclass(frozen=True)
class RawFile:
    """fields: what is wanted of each example. text_column: which field of a record is its text; None: it is guessed.

    on_skipped: is given each record that cannot be read, or is larger than max_document_bytes, and the file goes on
    at the next one. None: the first such record is a UserError, and only lines have a limit, `LONGEST_LINE`.
    """

    path: Path
    fields: Sequence[str] = ("text",)
    text_column: str | None = None
    max_document_bytes: int = MAX_DOCUMENT_BYTES
    on_skipped: OnSkipped | None = None

    @property
    def is_strict(self) -> bool:
        return self.on_skipped is None

    @property
    def wants_text(self) -> bool:
        return tuple(self.fields) == ("text",)

    @property
    def compression(self) -> str:
        """gzip, zstd, or '' where its last ending is neither."""
        return COMPRESSIONS.get(self.path.suffix.lower(), "")

    @property
    def longest_line(self) -> int:
        return LONGEST_LINE if self.is_strict else self.max_document_bytes

    def skip(self, place: str, reason: str) -> None:
        """Tell of a record that it is not read; UserError where it has to be.

        place: `line 3`, `row 7`, `record 2`, `byte 1024`; '' for the file, or the rest of it.
        """
        if self.on_skipped is None:
            raise UserError(f"'{self.path}', {place}: {reason}" if place else f"'{self.path}' {reason}")
        unit, _, number = place.partition(" ")
        mark = "@" if unit == "byte" else ":"
        self.on_skipped(Skipped(self.path.as_posix() + (mark + number if place else ""), reason))

    def is_too_large(self, place: str, size: int) -> bool:
        """Whether a document of `size` bytes is left out, and told."""
        if self.is_strict or size <= self.max_document_bytes:
            return False
        self.skip(place, f"{size:,} bytes, and a document may have {self.max_document_bytes:,}")
        return True

    def example(self, place: int | str, fields: dict[str, Any]) -> Example:
        """place: the number of a line or a row, from 1 on; '' where the file is the example."""
        return Example(f"{self.path.as_posix()}:{place}" if place else self.path.as_posix(), fields)


def kind_of(path: Path) -> str:
    """The ending that says what a file holds, compressed or not: .jsonl of a.jsonl.gz."""
    name = path.name.lower()
    for ending in COMPRESSIONS:
        if name.endswith(ending):
            name = name.removesuffix(ending)
            break
    return Path(name).suffix
