"""What `scratchgrad-curate` left: the documents in its folder, in their order."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from scratchgrad.errors import UserError
from scratchgrad.files import verify_manifest
from scratchgrad.tools.text.example import Example, Skipped
from scratchgrad.tools.text.reading import read_examples
from scratchgrad.tools.text.source import Source


@dataclass(frozen=True)
class CuratedSource(Source):
    """folder: that was curated. A document's name is its id there, `path:record` of the raw source.

    only: the source of the curation whose documents are read alone, so that sources can be given weights.
    """

    folder: str
    only: str | None = None

    def paths(self) -> list[Path]:
        verify_manifest(Path(self.folder), sizes_only=True)
        found = sorted(Path(self.folder).glob("documents/*/documents.jsonl.zst"))
        if not found:
            raise UserError(f"'{self.folder}' holds no curated documents: it is the --out of scratchgrad-curate")
        return found

    def examples(self, fields: Sequence[str] = ("text",)) -> Iterator[Example]:
        for path in self.paths():
            yield from self.read(path, fields)

    def read(
        self, path: Path, fields: Sequence[str] = ("text",), skipped: Callable[[Skipped], None] | None = None
    ) -> Iterator[Example]:
        for example in read_examples(path, fields):
            if self.only is not None and example.fields["source"] != self.only:
                continue
            metadata = example.fields["metadata"]
            yield Example(example.text("id"), {**metadata, "text": example.text(), "source": example.fields["source"]})
