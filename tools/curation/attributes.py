"""What was measured of each document, beside the documents: parquet with a row for each, which any tool opens."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from scratchgrad.tools.curation.batch import Values
from scratchgrad.tools.text.optional import need

ATTRIBUTES = "attributes.parquet"
ROWS = 1 << 14  # of a group, which is in memory at once
OWN = {"id": "string", "source": "string", "bytes": "int64", "tokens": "int64"}  # columns that are not of a step


class AttributeWriter:
    """A context; `append` takes some columns of some documents at a time: the same names each time."""

    def __init__(self, folder: Path, numbers: Sequence[str], labels: Sequence[str], counts_tokens: bool) -> None:
        own = {name: kind for name, kind in OWN.items() if name != "tokens" or counts_tokens}
        columns = own | dict.fromkeys(labels, "string") | dict.fromkeys(numbers, "float64")
        arrow = need("pyarrow", "curate")
        self._schema = arrow.schema([(name, getattr(arrow, kind)()) for name, kind in columns.items()])
        self._path, self._held, self._rows = folder / ATTRIBUTES, list[Mapping[str, Any]](), 0

    def append(self, columns: Mapping[str, Sequence[Any] | Values]) -> None:
        self._held.append(columns)
        self._rows += len(columns["id"])
        if self._rows >= ROWS:
            self._flush()

    def _flush(self) -> None:
        if self._held:
            columns = {
                name: np.concatenate([np.asarray(part[name]) for part in self._held]) for name in self._schema.names
            }
            self._writer.write_table(need("pyarrow", "curate").table(columns, self._schema))
        self._held, self._rows = [], 0

    def __enter__(self) -> AttributeWriter:
        self._writer = need("pyarrow.parquet", "curate").ParquetWriter(self._path, self._schema, compression="zstd")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if kind is None:
            self._flush()
        self._writer.close()


def read_attributes(folder: Path, names: Sequence[str] | None = None) -> Iterator[dict[str, Values]]:
    """The columns `names`, or all, of some thousand documents at a time, in order."""
    with need("pyarrow.parquet", "curate").ParquetFile(folder / ATTRIBUTES) as file:
        for batch in file.iter_batches(ROWS, columns=None if names is None else list(names), use_threads=False):
            yield {
                name: column.to_numpy(zero_copy_only=False)
                for name, column in zip(batch.schema.names, batch.columns, strict=True)
            }


def attribute_names(folder: Path) -> list[str]:
    return list(need("pyarrow.parquet", "curate").read_schema(folder / ATTRIBUTES).names)
