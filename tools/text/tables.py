"""Rows of Arrow tables as records."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

from scratchgrad.tools.text.columns import renamed, text_column
from scratchgrad.tools.text.example import Example
from scratchgrad.tools.text.optional import need
from scratchgrad.tools.text.raw_file import RawFile

BATCH_BYTES = 8 << 20  # about what is turned into Python's objects at once
BATCH_ROWS = 1024


def column_names(schema: Any, raw: RawFile) -> list[str]:
    """What the columns are called in an example; UserError, without the file, where none is known to hold the text."""
    if "text" not in raw.fields:
        return list(schema.names)
    types = need("pyarrow", "curate").types
    kinds: tuple[Any, ...] = (types.is_string, types.is_large_string, types.is_binary, types.is_large_binary)
    if hasattr(types, "is_string_view"):
        kinds = (*kinds, types.is_string_view)
    with_text = [
        field.name
        for field in schema
        if any(is_kind(field.type.value_type if types.is_dictionary(field.type) else field.type) for is_kind in kinds)
    ]
    return renamed(schema.names, text_column(schema.names, with_text, raw.text_column))


def examples(batch: Any, names: list[str], before: int, raw: RawFile) -> Iterator[Example]:
    """Of each row of a record batch; before: how many rows of the file stand before it."""
    size = max(1, min(BATCH_ROWS, batch.num_rows * BATCH_BYTES // max(1, batch.nbytes)))
    for start in range(0, batch.num_rows, size):
        part = batch.slice(start, size)
        for i in range(part.num_rows):
            row = before + start + i + 1
            try:
                values = [column[i].as_py() for column in part.columns]
                fields = {name: _plain(value) for name, value in zip(names, values, strict=True)}
                if isinstance(text := values[names.index("text")] if "text" in names else None, bytes):
                    fields["text"] = text.decode()
            except UnicodeDecodeError as error:
                raw.skip(f"row {row}", f"not UTF-8: a byte 0x{error.object[error.start]:02x}")
                continue
            except (ValueError, OverflowError) as error:  # a time that Python has not
                raw.skip(f"row {row}", f"a value cannot be read: {error}")
                continue
            if not raw.is_too_large(f"row {row}", len(text) if isinstance(text, (str, bytes)) else 0):
                yield raw.example(row, fields)


def _plain(value: Any) -> Any:
    """A value as JSON can hold it: times in ISO 8601, null for what is not a number; bytes are left out."""
    if value is None or isinstance(value, (str, bool, int)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(name): _plain(part) for name, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(part) for part in value]
    if isinstance(value, (datetime, date, time)):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    return str(value) if isinstance(value, Decimal) else None


def first_line(error: BaseException) -> str:
    return str(error).partition("\n")[0]
