"""The items of benchmarks, as texts that may stand in a document: each question with its answer."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scratchgrad.errors import UserError
from scratchgrad.tools.text.example import Example
from scratchgrad.tools.text.files import find_files
from scratchgrad.tools.text.raw_file import kind_of
from scratchgrad.tools.text.reading import read_examples, read_whole

ENDINGS = (".jsonl", ".json", ".csv", ".tsv", ".txt", ".parquet", ".arrow")

# Names of fields in the files of benchmarks, in lower case; of each kind those that are there are read, in this order.
QUESTION = (
    "passage", "premise", "context", "ctx", "query", "question", "stem", "problem", "instruction", "prompt", "input",
    "sentence", "turns", "text", "hypothesis",
)  # fmt: skip
CHOICES = ("choices", "endings", "options", "mc1_targets", "mc2_targets", "correct answers", "incorrect answers")
ANSWER = (
    "best answer", "answer", "answers", "continuation", "completion", "canonical_solution", "solution", "target",
    "targets", "output", "response", "reference",
)  # fmt: skip
LABEL = ("label", "gold", "answerkey", "answer")
KNOWN = {*QUESTION, *CHOICES, *ANSWER, *LABEL}


@dataclass(frozen=True)
class Item:
    """name: `path:line`. readings: texts one of which a document would have that knows the item."""

    name: str
    file: str
    readings: tuple[str, ...]


def benchmark_files(globs: Sequence[str]) -> list[Path]:
    """UserError where a glob matches nothing, or a file is none that is read."""
    return find_files(globs, ENDINGS)


def read_items(globs: Sequence[str], fields: Sequence[str]) -> list[Item]:
    """The items in the files of benchmarks. fields: what is read of each record instead of the fields that are known.

    UserError where a glob matches nothing, a file cannot be read, or none of its records has text to be read.
    """
    items = []
    for path in benchmark_files(globs):
        own = [
            Item(example.name, path.as_posix(), readings)
            for example in _records(path, fields)
            if (readings := readings_of(example.fields, fields))
        ]
        if not own:
            raise UserError(f"'{path}' has no record with text in a known field; name some: decontaminate.fields=[...]")
        items += own
    return items


def readings_of(record: Mapping[str, Any], fields: Sequence[str] = ()) -> tuple[str, ...]:
    """Of a record the question with its answer; where there are choices, with the right one, and with all of them."""
    flat = _flat(record)
    if fields:
        parts = [text for name in fields for text in _texts(flat.get(name.lower()))]
        return (" ".join(parts),) if parts else ()
    question = [text for name in QUESTION for text in _texts(flat.get(name))]
    choices = [text for name in CHOICES for text in _texts(flat.get(name))]
    right = _right(flat, choices)
    answer = [] if right else [text for name in ANSWER for text in _texts(flat.get(name))]
    readings = [[*question, *right, *answer]] if right or answer or not choices else []
    if choices:
        readings.append([*question, *choices])
    return tuple(dict.fromkeys(" ".join(reading) for reading in readings if reading))


def _records(path: Path, fields: Sequence[str]) -> Iterator[Example]:
    kind = kind_of(path)
    if kind == ".json":
        yield from _json(path)
    elif kind == ".csv":
        yield from _csv(path, fields)
    elif kind == ".txt":
        yield from read_examples(path)
    else:
        yield from read_examples(path, tuple(fields) or ("question", "answer"))


def _json(path: Path) -> Iterator[Example]:
    """A list of records, or an object that holds one."""
    try:
        values = json.loads(read_whole(path))
    except (ValueError, RecursionError) as error:
        raise UserError(f"'{path}' is not JSON: {error}") from None
    if isinstance(values, dict):
        values = next((value for value in values.values() if isinstance(value, list)), [values])
    for number, record in enumerate(values if isinstance(values, list) else [], 1):
        if isinstance(record, dict):
            yield Example(f"{path.as_posix()}:{number}", record)


def _csv(path: Path, fields: Sequence[str]) -> Iterator[Example]:
    """With a title line that names fields, or without, as MMLU's: question, choices, letter of the right one."""
    try:
        rows = list(csv.reader(io.StringIO(read_whole(path), newline="")))
    except csv.Error as error:
        raise UserError(f"'{path}' is no table of values with commas between: {error}") from None
    title = [name.strip().lower() for name in rows[0]] if rows else []
    has_title = bool({*KNOWN, *(field.lower() for field in fields)}.intersection(title))
    for number, row in enumerate(rows, 1):
        if has_title and number > 1:
            yield Example(f"{path.as_posix()}:{number}", dict(zip(title, row, strict=False)))
        elif not has_title and len(row) > 2 and len(row[-1].strip()) == 1:
            record = {"question": row[0], "choices": row[1:-1], "answer": row[-1].strip()}
            yield Example(f"{path.as_posix()}:{number}", record)
        elif not has_title and row:
            yield Example(f"{path.as_posix()}:{number}", {"text": " ".join(row)})


def _flat(record: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a record, and those of records in it that have known names, by lower-case name."""
    flat: dict[str, Any] = {}
    for name, value in record.items():
        if isinstance(value, dict) and name.lower() not in CHOICES and KNOWN.intersection(map(str.lower, value)):
            flat = {**_flat(value), **flat}
        else:
            flat[str(name).lower()] = value
    return flat


def _texts(value: Any) -> list[str]:
    """The texts in a field: it is one, or has some, or is a table of texts and whether they are right."""
    if isinstance(value, str):
        return [value] if value.strip() else []
    if isinstance(value, list):
        return [text for entry in value for text in _texts(entry)]
    if isinstance(value, dict):
        inner = [text for name in ("text", "turns", *QUESTION) if name in value for text in _texts(value[name])]
        return list(dict.fromkeys(inner)) or [name for name, right in value.items() if isinstance(right, int | float)]
    return []


def _right(flat: Mapping[str, Any], choices: Sequence[str]) -> list[str]:
    """The right choice, where a table or a label says which: a number from 0 on, a letter, or a digit from 1 on."""
    for table in (flat.get(name) for name in CHOICES):
        if isinstance(table, dict) and 1 in table.values():
            return [next(text for text, right in table.items() if right == 1)]
    for name in LABEL:
        label = flat.get(name)
        place = -1
        if isinstance(label, int) and not isinstance(label, bool):
            place = label
        elif isinstance(label, str) and len(label.strip()) == 1:
            letter = label.strip().upper()
            place = int(letter) - 1 if letter.isdigit() else ord(letter) - ord("A")
        if 0 <= place < len(choices):
            return [choices[place]]
    return []
