"""Lines that stand more than once in one document: menus, footers, buttons."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from scratchgrad.tools.curation.document import Document, Removed
from scratchgrad.tools.curation.step import Edit, Edited


class BoilerplateLines(Edit):
    """The first of equal lines stays; case and white space around a line do not count (DCLM, `within_page_dedup`)."""

    source: ClassVar[str] = "DCLM, modifiers.py (within_page_dedup)"
    measures: ClassVar[tuple[str, ...]] = ("removed_lines",)

    min_characters: int = Field(1, ge=1, description="shorter lines may stand there many times, as a closing bracket")

    def edit(self, document: Document) -> Edited:
        seen: set[str] = set()
        removed: list[Removed] = []
        kept: list[str] = []
        lines = 0
        for line in document.text.split("\n"):
            key = line.strip().lower()
            lines += bool(key)
            if key in seen:
                removed.append(Removed("stood there before", line))
                continue
            kept.append(line)
            if len(key) >= self.min_characters:
                seen.add(key)
        share = len(removed) / lines if lines else 0.0
        return Edited(document.with_text("\n".join(kept)), removed, {"removed_lines": share})
