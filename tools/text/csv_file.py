"""Tables as spreadsheets and data sets have them (RFC 4180): a title line, then a record in each row."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from itertools import chain, islice
from pathlib import Path

from scratchgrad.errors import UserError, quoted
from scratchgrad.tools.text.example import Example
from scratchgrad.tools.text.files import LONGEST_LINE, decoded_lines

TEXT_NAMES = ("text", "content")  # of a column that holds the text, in this order
LOOKED_AT = 100  # rows, to tell text from numbers
csv.field_size_limit(LONGEST_LINE)  # a document is one field, and Python's own limit is 131,072


def read_csv(path: Path, fields: Sequence[str]) -> Iterator[Example]:
    """A row is an example, whose fields have the names of the title line. Commas, or semicolons or tabs, stand between.

    `text`, where it is wanted and no column is called so, is the column `content`, or the only other one that holds
    more than numbers in the first rows. UserError where there is no such column, a row has too few or too many values,
    quotes are not closed, or no row follows the title line.
    """
    rows = _rows(path)
    _, title = next(rows)
    names = [name.strip() for name in title]
    twice = next((name for i, name in enumerate(names) if name and name in names[:i]), None)
    if twice is not None:
        raise UserError(f"'{path}': two columns are called {quoted(twice)}")
    first = list(islice(rows, LOOKED_AT))
    if not first:
        raise UserError(f"'{path}' has a title line and no row below it; the first line names the columns")
    if "text" in fields and "text" not in names:
        names[_text_column(path, names, [row for _, row in first], fields)] = "text"
    missing = [field for field in fields if field not in names]
    if missing:
        raise UserError(f"'{path}' has no column {quoted(missing[0])}; its columns: {_told(names)}")
    for number, row in chain(first, rows):
        yield Example(f"{path.as_posix()}:{number}", dict(zip(names, row, strict=True)))


def _text_column(path: Path, names: Sequence[str], rows: Sequence[Sequence[str]], fields: Sequence[str]) -> int:
    lower = [name.lower() for name in names]
    if found := [lower.index(name) for name in TEXT_NAMES if name in lower]:
        return found[0]
    others = [i for i, name in enumerate(names) if name not in fields]
    with_text = [i for i in others if not all(_is_number(row[i]) for row in rows)]
    if len(with_text) == 1:
        return with_text[0]
    raise UserError(
        f"'{path}' has {len(with_text) or 'no'} columns that hold text: call the one to read \"text\" in the first "
        f"line; its columns: {_told(names)}"
    )


def _rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """The title line, and every row that is not blank, each with the number of its last line; all equally long."""
    lines = decoded_lines(path)
    title = next((line for line in lines if line[1].strip("\ufeff \r\n")), None)
    if title is None:
        raise UserError(f"'{path}' is blank: leave it out")
    number, text = title
    text = text.removeprefix("\ufeff")  # as spreadsheets begin a file
    delimiter = next((mark for mark in ",;\t" if mark in text), ",")
    begin = number - 1
    reader = csv.reader(chain([text], (line for _, line in lines)), delimiter=delimiter, strict=True)
    width = None
    try:
        for row in reader:
            if not row:
                continue
            width = width or len(row)
            if len(row) != width:
                raise UserError(
                    f"'{path}', line {begin + reader.line_num}: {len(row)} values where the title line names "
                    f"{width}; a text with commas or line ends stands in double quotes"
                )
            yield begin + reader.line_num, row
    except csv.Error as error:
        raise UserError(f"'{path}', line {begin + reader.line_num}: not a row of a table: {error}") from None


def _is_number(text: str) -> bool:
    try:
        float(text or "0")
    except ValueError:
        return False
    return True


def _told(names: Sequence[str]) -> str:
    return ", ".join(quoted(name, 30) for name in names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
