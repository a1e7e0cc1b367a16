"""Tables as spreadsheets and data sets have them (RFC 4180): a title line, then a record in each row."""

from __future__ import annotations

import csv
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import chain

from scratchgrad.errors import UserError, quoted
from scratchgrad.tools.text.columns import renamed, text_column, told
from scratchgrad.tools.text.example import Example, Skipped
from scratchgrad.tools.text.raw_file import LONGEST_LINE, RawFile
from scratchgrad.tools.text.streams import lines, opened

ENDINGS = (".csv",)
LOOKED_AT = 100  # rows, to tell text from numbers
csv.field_size_limit(LONGEST_LINE)  # a document is one field, and Python's own limit is 131,072

Row = tuple[int, list[str]]


def read(raw: RawFile) -> Iterator[Example]:
    """A row is an example, whose fields have the names of the title line. Commas, or semicolons or tabs, stand between.

    `text`, where it is wanted and no column is called so, is the column `content`, or the only other one that holds
    more than numbers in the first rows. Told is where there is no such column, a row has too few or too many values,
    quotes are not closed, or no row follows the title line.
    """
    faults = 0

    def on_skipped(skipped: Skipped) -> None:
        nonlocal faults
        faults += 1
        assert raw.on_skipped is not None
        raw.on_skipped(skipped)

    watched = raw if raw.is_strict else replace(raw, on_skipped=on_skipped)
    with opened(watched) as stream:
        if stream is None:
            return
        rows = _rows(_Lines(lines(stream, watched), raw, lambda: faults), watched)
        title = next(rows, None)
        if title is None:
            if not faults:
                raw.skip("", "is blank: leave it out")
            return
        names = [name.strip() for name in title[1]]
        first = _first(rows)
        if not first and not faults:
            raw.skip("", "has a title line and no row below it; the first line names the columns")
        try:
            names = _names(names, [row for _, row in first], raw)
        except UserError as error:
            raw.skip("", str(error))
            return
        for number, row in chain(first, rows):
            if not raw.is_too_large(f"line {number}", sum(map(len, row))):
                yield raw.example(number, dict(zip(names, row, strict=True)))


def _first(rows: Iterator[Row]) -> list[Row]:
    first: list[Row] = []
    size = 0
    while len(first) < LOOKED_AT and size < 1 << 23 and (row := next(rows, None)):
        first.append(row)
        size += sum(map(len, row[1]))
    return first


def _names(names: list[str], rows: list[list[str]], raw: RawFile) -> list[str]:
    """Of the columns, with that of the text called so; UserError, without the file, where they do not serve."""
    twice = next((name for i, name in enumerate(names) if name and name in names[:i]), None)
    if twice is not None:
        raise UserError(f"has two columns that are called {quoted(twice)}")
    if "text" in raw.fields and (raw.text_column or "text" not in names):
        others = [i for i, name in enumerate(names) if name not in raw.fields]
        with_text = [names[i] for i in others if not all(_is_number(row[i]) for row in rows)]
        names = renamed(names, text_column(names, with_text, raw.text_column))
    missing = [field for field in raw.fields if field not in names]
    if missing:
        raise UserError(f"has no column {quoted(missing[0])}; its columns: {told(names)}")
    return names


class _Lines:
    """The lines that csv.reader asks for. Those of the row that it is at can be given again, but for the first."""

    def __init__(self, numbered: Iterator[tuple[int, str]], raw: RawFile, faults: Callable[[], int]) -> None:
        self._numbered, self._most = numbered, None if raw.is_strict else raw.max_document_bytes
        self._again: deque[tuple[int, str]] = deque()
        self.of_row: list[tuple[int, str]] = []
        self._size, self._faults, self._faults_before = 0, faults, 0

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        if self._most is not None and self._size > self._most:
            raise StopIteration
        number, line = self._again.popleft() if self._again else next(self._numbered)
        self.of_row.append((number, line))
        self._size += len(line)
        return line

    def begin_row(self) -> None:
        self.of_row.clear()
        self._size, self._faults_before = 0, self._faults()

    def again(self, after: int = 1) -> None:
        self._again.extendleft(reversed(self.of_row[after:]))
        self.begin_row()

    @property
    def is_whole(self) -> bool:
        """Whether no line of the row was left out, which is told already."""
        numbers = [number for number, _ in self.of_row]
        return self._faults() == self._faults_before and numbers[-1] - numbers[0] == len(numbers) - 1


def _rows(feed: _Lines, raw: RawFile) -> Iterator[Row]:
    """The title line, and every row that is not blank, each with the number of its last line; all equally long."""
    title = next((line for line in feed if line.strip()), None)
    if title is None:
        return
    feed.again(after=len(feed.of_row) - 1)
    delimiter = next((mark for mark in ",;\t" if mark in title), ",")
    reader = csv.reader(feed, delimiter=delimiter, strict=True)
    width = None
    while True:
        feed.begin_row()
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            if feed.is_whole:
                raw.skip(f"line {feed.of_row[0][0]}", f"not a row of a table: {error}")
            feed.again()
            continue
        if not row or not feed.is_whole:
            continue
        width = width or len(row)
        if len(row) != width:
            raw.skip(
                f"line {feed.of_row[-1][0]}",
                f"{len(row)} values where the title line names {width}; a text with commas or line ends stands in "
                "double quotes",
            )
            continue
        yield feed.of_row[-1][0], row


def _is_number(text: str) -> bool:
    try:
        float(text or "0")
    except ValueError:
        return False
    return True
