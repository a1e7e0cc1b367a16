"""The pieces of HTML that all sections are made of. What comes from documents is escaped here, and nowhere else."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

LONGEST = 1200  # characters of a text that is shown
LONG = 80  # characters of a cell, from which on it is a text
Counts = Mapping[str, int]
Section = tuple[str, str]  # its title, and its HTML


def number(value: float) -> str:
    """With as many digits as one reads: 12,345, 0.125, 3."""
    if value == int(value) and abs(value) < 1e15:
        return f"{int(value):,}"
    return f"{value:.3g}"


def size(count: int) -> str:
    """Bytes with three digits: 12.3 KB, 1.08 MB."""
    for unit, name in ((1e9, "GB"), (1e6, "MB"), (1e3, "KB")):
        if abs(count) >= unit:
            return f"{count / unit:,.{2 if abs(count) < 10 * unit else 1}f} {name}"
    return f"{count:,} B"


def less(text: str, count: int) -> str:
    """What was taken away, written with a minus; a dash where that is nothing."""
    return f"\N{MINUS SIGN}{text}" if count else "\N{EN DASH}"


def change(signed: str) -> str:
    """A difference, with a minus as wide as its plus."""
    return signed.replace("-", "\N{MINUS SIGN}")


def share(part: Counts, whole: Counts, key: str) -> str:
    return f"{part.get(key, 0) / whole[key]:.1%}" if whole.get(key) else ""


def total(by_source: Mapping[str, Counts]) -> dict[str, int]:
    names = {name for counts in by_source.values() for name in counts}
    return {name: sum(counts.get(name, 0) for counts in by_source.values()) for name in names}


def cut(text: str, longest: int = LONGEST) -> str:
    return escape(text) if len(text) <= longest else f"{escape(text[:longest])} ..."


def short(id: str) -> str:
    """The id of a document without the folders in which its file is."""
    return id.rpartition("/")[2] or id


def table(heads: Sequence[str], rows: Iterable[Sequence[str]], raw: Sequence[int] = ()) -> str:
    """raw: the columns that are HTML already. Numbers stand at the right, but in the first column."""
    lines = [list(row) for row in rows]
    numeric = {
        place for place in range(1, len(heads))
        if place not in raw and any(line[place] for line in lines) and all(_is_number(line[place]) for line in lines)
    }  # fmt: skip

    def kind(place: int, cell: str = "") -> str:
        if place in numeric:
            return ' class="number"'
        return ' class="long"' if place not in raw and len(cell) > LONG else ""

    head = "".join(f'<th scope="col"{kind(place)}>{escape(one)}</th>' for place, one in enumerate(heads))
    body = "".join(
        "<tr>"
        + "".join(
            f"<td{kind(place, cell)}>{cell if place in raw else _breakable(cell)}</td>"
            for place, cell in enumerate(line)
        )
        + "</tr>"
        for line in lines
    )
    return f'<div class="table"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _breakable(cell: str) -> str:
    """A path may be broken between its folders."""
    return escape(cell).replace("/", "/<wbr>")


def _is_number(cell: str) -> bool:
    first, *_ = cell.split(" ", 1)  # what follows is a unit or a remark
    return not cell or not first.strip("0123456789.,+-%e\N{MINUS SIGN}\N{EN DASH}")


def details(title: str, html: str) -> str:
    """Folded: one opens it with a click, or with Enter."""
    return f"<details><summary>{escape(title)}</summary>{html}</details>"


def plain(value: Any) -> str:
    """A value of a report.json as one reads it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (int, float)):
        return number(value)
    if isinstance(value, (list, tuple)):
        return ", ".join(plain(one) for one in value)
    if isinstance(value, dict):
        return ", ".join(f"{key}: {plain(one)}" for key, one in value.items())
    return "" if value is None else str(value)
