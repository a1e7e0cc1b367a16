"""What a file holds, by the ending of its name: a text, records, or lines.

.txt, .md and .py are one text each. .jsonl holds a record in each line, an object whose names are the fields of an
example. .tsv holds one in each line too, its fields with tabs between; .csv is a table with a title line. Each may be
compressed: .txt.gz, .jsonl.gz.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from scratchgrad.errors import UserError
from scratchgrad.tools.text.csv_file import read_csv
from scratchgrad.tools.text.example import Example
from scratchgrad.tools.text.files import kind_of, read_chunks, read_lines, read_whole

NAMED = (".jsonl", ".csv")  # whose records name their fields
RECORDS = (*NAMED, ".tsv")
TEXT_SUFFIXES = (".txt", ".md", ".py", *NAMED)
SUFFIXES = (*TEXT_SUFFIXES, ".tsv")


def read_examples(path: Path, fields: Sequence[str] = ("text",)) -> Iterator[Example]:
    """The examples in a file, one by one; UserError where it cannot be read, or holds no such examples.

    fields: what is wanted of each. They name the columns of a .tsv; a record has the names of its own.
    """
    if kind_of(path) == ".jsonl":
        for number, record in _json_records(path):
            yield Example(f"{path.as_posix()}:{number}", record)
    elif kind_of(path) == ".csv":
        yield from read_csv(path, fields)
    elif kind_of(path) == ".tsv":
        yield from _columns(path, fields)
    elif tuple(fields) == ("text",):
        yield Example(path.as_posix(), {"text": read_whole(path)})
    else:
        raise UserError(f"'{path}' is one text; fields {', '.join(fields)} are read from {', '.join(RECORDS)}")


def read_prompts(path: Path) -> Iterator[str]:
    """Every line that is not blank, or the field `prompt` of every record; UserErrors as of `read_examples`."""
    if kind_of(path) in NAMED:
        yield from (example.text("prompt") for example in read_examples(path, ("prompt",)))
    else:
        yield from (line for _, line in read_lines(path))


def stream_texts(path: Path) -> Iterator[Iterator[str]]:
    """Every text in a file as the chunks that it is read in, for files larger than memory; the same UserErrors."""
    if kind_of(path) in NAMED:
        yield from (iter([example.text()]) for example in read_examples(path))
    else:
        yield read_chunks(path)


def _json_records(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, line in read_lines(path):
        try:
            record = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise UserError(f"'{path}', line {number}: not JSON: {error}") from None
        del line  # it may be most of the memory
        if not isinstance(record, dict):
            raise UserError(f"'{path}', line {number}: a record is an object, as in {{\"text\": ...}}")
        yield number, record


def _columns(path: Path, fields: Sequence[str]) -> Iterator[Example]:
    for number, line in read_lines(path):
        values = line.split("\t")
        if len(values) != len(fields):
            raise UserError(
                f"'{path}', line {number}: {len(values)} columns where {len(fields)} are needed: {', '.join(fields)}, "
                "with a tab between"
            )
        yield Example(f"{path.as_posix()}:{number}", dict(zip(fields, values, strict=True)))
