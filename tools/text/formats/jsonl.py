"""Records as JSON: one in each line, or all in one list."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from scratchgrad.tools.text.columns import TEXT_NAMES, renamed
from scratchgrad.tools.text.example import Example
from scratchgrad.tools.text.json_list import values_of_list
from scratchgrad.tools.text.raw_file import RawFile, kind_of
from scratchgrad.tools.text.streams import Stream, lines, opened

ENDINGS = (".jsonl", ".json", ".ndjson")
ANY_JSON = ".json"  # may also hold one list, or one value over several lines


def read(raw: RawFile) -> Iterator[Example]:
    """A record is an object, whose names are the fields of the example.

    Where `text` is wanted and absent, it is the field `text_column`, or `content` or `contents`.
    """
    with opened(raw) as stream:
        if stream is None:
            return
        for place, text in _values(stream, raw):
            try:
                record = json.loads(text)
            except (ValueError, RecursionError) as error:
                raw.skip(place, f"not JSON: {error}")
                continue
            size, text = len(text), ""  # it may be most of the memory: nothing here names it longer than needed
            if not isinstance(record, dict):
                raw.skip(place, 'a record is an object, as in {"text": ...}')
            elif not raw.is_too_large(place, size):
                made = [raw.example(place.rpartition(" ")[2], _with_text(record, raw))]
                del record
                yield made.pop()


def _values(stream: Stream, raw: RawFile) -> Iterator[tuple[str, str]]:
    """Where each value stands, and its text."""
    numbered = _numbered(stream, raw)
    if kind_of(raw.path) != ANY_JSON:
        yield from numbered
        return
    if stream.peek(1 << 10).lstrip()[:1] == b"[":
        yield from values_of_list(stream, raw)
        return
    first = next(numbered, None)
    if first is None:
        return
    if _is_json(first[1]):
        yield first
        yield from numbered
    else:
        yield from _one_value(first[1], numbered, raw)


def _numbered(stream: Stream, raw: RawFile) -> Iterator[tuple[str, str]]:
    for number, line in lines(stream, raw):
        if not line.isspace():
            held = [line.removesuffix("\n").removesuffix("\r")]
            line = ""
            yield f"line {number}", held.pop()


def _one_value(first: str, numbered: Iterator[tuple[str, str]], raw: RawFile) -> Iterator[tuple[str, str]]:
    """A value over several lines, or lines of which the first is no JSON."""
    held, size = [("line 1", first)], len(first)
    for place, line in numbered:
        held.append((place, line))
        size += len(line)
        if size > raw.longest_line:
            break
    else:
        whole = "\n".join(line for _, line in held)
        if _is_json(whole):
            yield "line 1", whole
            return
    yield from held
    yield from numbered


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _with_text(record: dict[str, Any], raw: RawFile) -> dict[str, Any]:
    if "text" not in raw.fields:
        return record
    if raw.text_column is not None:
        if raw.text_column not in record:
            return {name: value for name, value in record.items() if name != "text"}
        candidates = [raw.text_column]
    elif "text" in record:
        return record
    else:
        candidates = [name for name in TEXT_NAMES if name in record]
    if not candidates:
        return record
    column = candidates[0]
    return dict(zip(renamed(list(record), column), record.values(), strict=True))
