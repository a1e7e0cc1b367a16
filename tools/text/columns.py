"""Which column of a table holds the text."""

from __future__ import annotations

from collections.abc import Sequence

from scratchgrad.errors import UserError, quoted

TEXT_NAMES = ("text", "content", "contents")  # of a column that holds the text, in this order


def text_column(names: Sequence[str], with_text: Sequence[str], named: str | None) -> str:
    """Its name: `named`, or `text`, `content` or `contents` in any case, or the only one that holds text.

    names: of all columns. with_text: of those that can hold text. UserError, without the file, where it is none of
    these.
    """
    if named is not None:
        if named not in names:
            raise UserError(f"has no column {quoted(named)}; its columns: {told(names)}")
        return named
    lower = [name.lower() for name in names]
    for name in TEXT_NAMES:
        if name in lower and names[lower.index(name)] in with_text:
            return names[lower.index(name)]
    if len(with_text) == 1:
        return with_text[0]
    raise UserError(
        f'has {len(with_text) or "no"} columns that hold text: call the one to read "text", or name it as text_column; '
        f"its columns: {told(names)}"
    )


def renamed(names: Sequence[str], column: str) -> list[str]:
    """The names of all columns, where `column` is called `text`, and another one of that name `original_text`."""
    if column == "text":
        return list(names)
    return ["text" if name == column else "original_text" if name == "text" else name for name in names]


def told(names: Sequence[str]) -> str:
    return ", ".join(quoted(name, 30) for name in names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
