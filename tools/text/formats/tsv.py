"""A record in each line, with a tab between its fields."""

from __future__ import annotations

from collections.abc import Iterator

from scratchgrad.tools.text.columns import TEXT_NAMES
from scratchgrad.tools.text.example import Example
from scratchgrad.tools.text.raw_file import RawFile
from scratchgrad.tools.text.streams import lines, opened

ENDINGS = (".tsv",)


def read(raw: RawFile) -> Iterator[Example]:
    """The columns are the wanted fields in their order, unless the first line names all of them and perhaps others."""
    names: list[str] | None = None
    with opened(raw) as stream:
        if stream is None:
            return
        for number, line in lines(stream, raw):
            if not line.strip():
                continue
            values = line.removesuffix("\n").removesuffix("\r").split("\t")
            if names is None:
                title = _title(values, raw)
                names = title or list(raw.fields)
                if title:
                    continue
            if len(values) != len(names):
                raw.skip(
                    f"line {number}",
                    f"{len(values)} columns where {len(names)} are needed: {', '.join(names[:8])}, with a tab between",
                )
                continue
            yield raw.example(number, dict(zip(names, values, strict=True)))


def _title(values: list[str], raw: RawFile) -> list[str]:
    """The names of the columns, where the first line is a title line; else none."""
    names = [value.strip() for value in values]
    if raw.wants_text:
        candidates = [raw.text_column] if raw.text_column else TEXT_NAMES
        column = next((names.index(name) for name in candidates if name in names), None)
        if column is None:
            return []
        names[column] = "text"
    return names if set(raw.fields) <= set(names) and len(set(names)) == len(names) else []
