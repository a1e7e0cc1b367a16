"""Arrow tables on disk, as Hugging Face's `datasets` writes them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from scratchgrad.errors import UserError
from scratchgrad.tools.text.example import Example
from scratchgrad.tools.text.optional import need
from scratchgrad.tools.text.raw_file import RawFile
from scratchgrad.tools.text.streams import unpacked
from scratchgrad.tools.text.tables import column_names, examples, first_line

ENDINGS = (".arrow", ".feather")
FILE_MAGIC = b"ARROW1"


def read(raw: RawFile) -> Iterator[Example]:
    """A row is an example. A table is a stream, as `datasets` writes it, or a file, as Feather is one."""
    arrow = need("pyarrow", "curate")
    faults = (arrow.ArrowException, OSError, MemoryError, UnicodeDecodeError)
    with unpacked(raw) as stream:
        if stream is None:
            return
        if not stream.peek(1):
            raw.skip("", stream.damage or "is empty: leave it out")
            return
        is_file = stream.peek(len(FILE_MAGIC)).startswith(FILE_MAGIC)
        if is_file and raw.compression:
            raw.skip("", "is an Arrow file, of which the end is read first: unpack it first")
            return
        before = 0
        try:
            source: Any = stream if raw.compression else arrow.memory_map(str(raw.path))
            with arrow.ipc.open_file(source) if is_file else arrow.ipc.open_stream(source) as table:
                try:
                    names = column_names(table.schema, raw)
                except UserError as error:
                    raw.skip("", str(error))
                    return
                batches = map(table.get_batch, range(table.num_record_batches)) if is_file else table
                for batch in batches:
                    before += batch.num_rows
                    try:
                        batch.validate(full=True)  # which Arrow does not do by itself: offsets may point anywhere
                    except arrow.ArrowInvalid as error:
                        raw.skip(
                            f"row {before - batch.num_rows + 1}", f"and {batch.num_rows - 1} more: {first_line(error)}"
                        )
                        continue
                    yield from examples(batch, names, before - batch.num_rows, raw)
        except faults as error:
            raw.skip(
                f"row {before + 1}" if before else "",
                stream.damage or f"is not a whole Arrow table: {first_line(error)}",
            )
            return
        if stream.damage:
            raw.skip("", f"{stream.damage}, in row {before + 1}")
