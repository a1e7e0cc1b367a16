"""The sources of a recipe, cut into units of work: by their files alone, whatever the number of workers."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scratchgrad.errors import UserError
from scratchgrad.tools.curation.document import Document
from scratchgrad.tools.curation.recipe import Recipe
from scratchgrad.tools.text import Example, Skipped, Source

MOST_FILES = 4096  # of a unit

OnSkipped = Callable[[Skipped], None]


@dataclass(frozen=True)
class Unit:
    """Some files of a source, or all of one that has none. name: of the source in the recipe."""

    name: str
    source: Source
    paths: tuple[Path, ...]

    @property
    def bytes(self) -> int:
        return sum(path.stat().st_size for path in self.paths)

    def documents(self, largest: int, skipped: OnSkipped) -> Iterator[Document]:
        """Those of at most `largest` characters; what cannot be read, or is longer, is handed to `skipped`."""
        for example in self._examples(skipped):
            text = example.fields.get("text")
            if not isinstance(text, str):
                skipped(Skipped(example.name, "it has no text"))
            elif len(text) > largest:
                skipped(Skipped(example.name, f"it has {len(text):,} characters; curate.largest_document = {largest}"))
            else:
                metadata = {key: _plain(value) for key, value in example.fields.items() if key != "text"}
                yield Document(example.name, text, self.name, metadata)

    def _examples(self, skipped: OnSkipped) -> Iterator[Example]:
        if not self.paths:
            yield from self.source.examples()
        for path in self.paths:
            yield from self.source.read(path, skipped=skipped)


def units_of(recipe: Recipe) -> list[Unit]:
    """In the order of the sources, and of the paths within each. UserError where a source gives nothing to read."""
    units = []
    for name, described in recipe.data.named_sources.items():
        source = described.build()
        paths = source.paths()
        if not paths:
            units.append(Unit(name, source, ()))
        while paths:
            taken, size = 0, 0
            while taken < min(len(paths), MOST_FILES) and (taken == 0 or size < recipe.curate.unit_bytes):
                size += paths[taken].stat().st_size
                taken += 1
            units.append(Unit(name, source, tuple(paths[:taken])))
            paths = paths[taken:]
    if not units:
        raise UserError("the recipe's data has no source")
    return units


def _plain(value: Any) -> Any:
    """A value of a record as JSON has it: dates and bytes as text, a number that is none as null."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, float):
        return value if value - value == 0 else None
    if value is None or isinstance(value, (str, int)):
        return value
    if isinstance(value, (datetime.date, datetime.datetime)):
        return value.isoformat()
    return str(value)
