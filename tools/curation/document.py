"""One text on its way from a raw source to training data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from scratchgrad.tools.curation.hashes import text_hash


@dataclass(frozen=True, slots=True)
class Document:
    """id: where it came from, `path:record`; one id for one document of a run. source: the name of the recipe's source.

    metadata: what else its record said: `url`, `date`, `language`, `path`, ...
    """

    id: str
    text: str
    source: str
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def with_text(self, text: str) -> Document:
        return self if text == self.text else replace(self, text=text)

    def stated(self, name: str) -> Any:
        """What its record says under this name: by itself, or in its `metadata` or `meta`, where Dolma's and the Pile's
        records have it; None where it says nothing.
        """
        places = (self.metadata, self.metadata.get("metadata"), self.metadata.get("meta"))
        values = (place.get(name) for place in places if isinstance(place, Mapping))
        return next((value for value in values if value is not None and value != ""), None)

    def row(self) -> dict[str, Any]:
        """As JSON has it."""
        return {"id": self.id, "text": self.text, "source": self.source, "metadata": self.metadata}

    @property
    def content_hash(self) -> bytes:
        """16 bytes that depend on the text alone; surrogates, which UTF-8 has not, count as they are."""
        return content_hash(self.text)


def content_hash(text: str) -> bytes:
    return text_hash(text, 16)


def size_of(text: str) -> int:
    """Bytes of a text in UTF-8; half of a surrogate pair has three."""
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


@dataclass(frozen=True, slots=True)
class Removed:
    """A part of a document that an edit took out or replaced; a secret is given masked."""

    reason: str
    text: str


@dataclass(frozen=True, slots=True)
class Dropped:
    """A document that does not go on: by which step, by which of its rules, and what was measured.

    partner: the id of the document that is kept instead of it, where it is a duplicate.
    """

    step: str
    reason: str
    measured: float
    partner: str | None = None
