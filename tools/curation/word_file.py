"""Lists that a user gives in a file, one entry a line."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from scratchgrad.errors import UserError


@cache
def entries(path: str) -> tuple[str, ...]:
    """The lines of a UTF-8 text file without white space around them, blank ones and # comments left out."""
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"the list '{path}' cannot be read as UTF-8 text: {error}") from None
    return tuple(line for raw in text.splitlines() if (line := raw.strip()) and not line.startswith("#"))
