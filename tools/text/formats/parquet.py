"""Parquet: columns in groups of rows, read one group after the other."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from scratchgrad.errors import UserError
from scratchgrad.tools.text.example import Example
from scratchgrad.tools.text.optional import need
from scratchgrad.tools.text.raw_file import RawFile
from scratchgrad.tools.text.tables import BATCH_BYTES, BATCH_ROWS, column_names, examples, first_line

ENDINGS = (".parquet", ".pq")


def read(raw: RawFile) -> Iterator[Example]:
    """A row is an example. A group of rows that is damaged is left out, and told."""
    parquet, arrow = need("pyarrow.parquet", "curate"), need("pyarrow", "curate")
    faults = (arrow.ArrowException, OSError, MemoryError, UnicodeDecodeError)
    if raw.compression:
        raw.skip("", "is compressed once more than parquet is by itself: unpack it first")
        return
    try:
        file = parquet.ParquetFile(raw.path)
    except FileNotFoundError:
        raw.skip("", "cannot be read: No such file or directory")
        return
    except faults as error:
        raw.skip("", f"is not a whole parquet file: {first_line(error)}")
        return
    with file:
        try:
            names = column_names(file.schema_arrow, raw)
        except UserError as error:
            raw.skip("", str(error))
            return
        before = 0
        for group in range(file.num_row_groups):
            facts = file.metadata.row_group(group)
            done = before
            try:
                for batch in file.iter_batches(_rows_at_once(facts), row_groups=[group], use_threads=False):
                    yield from examples(batch, names, done, raw)
                    done += batch.num_rows
            except faults as error:
                raw.skip(f"row {done + 1}", f"and the rest of its group of rows: {first_line(error)}")
            before += facts.num_rows


def _rows_at_once(facts: Any) -> int:
    return int(max(1, min(BATCH_ROWS, facts.num_rows * BATCH_BYTES // max(1, facts.total_byte_size))))
