"""One example of a source: its name, and named fields."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from scratchgrad.errors import UserError


@dataclass(frozen=True)
class Skipped:
    """A record of a file that cannot be read, or what comes behind it. name: `path:record`, as of an Example."""

    name: str
    reason: str


@dataclass(frozen=True)
class Example:
    """A document has the field `text`; others have `source` and `target`, `text` and `label`, or what a record holds.

    name: where it came from, one name for one example: a path, or path:line of a record.
    """

    name: str
    fields: Mapping[str, Any]

    def value(self, field: str) -> Any:
        """What a field holds; UserError where there is no such field, or null in it."""
        value = self.fields.get(field)
        if value is None:
            raise self._lacks(field)
        return value

    def text(self, field: str = "text") -> str:
        """The string in a field; UserError where there is none."""
        value = self.fields.get(field)
        if not isinstance(value, str):
            raise self._lacks(field, " that holds a string")
        return value

    def _lacks(self, field: str, kind: str = "") -> UserError:
        known = ", ".join(list(self.fields)[:8]) or "none"
        return UserError(f"'{self.name}': an example needs a field \"{field}\"{kind}; its fields: {known}")
