"""What a file holds, by the ending of its name: `formats/<name>.py` reads the endings that it lists.

Each may be compressed, as in .txt.gz or .jsonl.zst, but for formats that are compressed inside.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from importlib import import_module
from importlib.resources import files
from pathlib import Path
from typing import Protocol, cast

from scratchgrad.errors import UserError, quoted
from scratchgrad.tools.text.example import Example, Skipped
from scratchgrad.tools.text.formats import text
from scratchgrad.tools.text.raw_file import MAX_DOCUMENT_BYTES, OnSkipped, RawFile, kind_of
from scratchgrad.tools.text.streams import lines, opened

PACKAGE = "scratchgrad.tools.text.formats"


class Format(Protocol):
    ENDINGS: tuple[str, ...]

    def read(self, raw: RawFile) -> Iterator[Example]:
        """The examples in a file, one by one, never all in memory; what cannot be read is told to `raw.skip`."""


PLAIN: Format = text


@cache
def formats(package: str = PACKAGE) -> dict[str, Format]:
    """By ending, what reads it. First stand the usual ones of plain text, then the first of each other format."""
    names = sorted(entry.name.removesuffix(".py") for entry in files(package).iterdir() if entry.name.endswith(".py"))
    modules = [cast(Format, import_module(f"{package}.{name}")) for name in names if not name.startswith("_")]
    table = dict.fromkeys(PLAIN.ENDINGS[:3], PLAIN)
    table |= {module.ENDINGS[0]: module for module in modules}
    for module in (*modules, PLAIN):
        table |= dict.fromkeys(module.ENDINGS, module)
    return table


def suffixes() -> tuple[str, ...]:
    """Every ending that is read."""
    return tuple(formats(PACKAGE))


def read_examples(
    path: Path,
    fields: Sequence[str] = ("text",),
    skipped: OnSkipped | None = None,
    *,
    text_column: str | None = None,
    max_document_bytes: int = MAX_DOCUMENT_BYTES,
) -> Iterator[Example]:
    """The examples in a file, one by one; UserError where it cannot be read, or holds no such examples.

    fields: what is wanted of each. They name the columns of a .tsv; a record has the names of its own. text_column: the
    column or field of records that holds the text; None: `text`, `content`, `contents`, or the only column of a table
    that holds text. skipped: is given each record that cannot be read, lacks a field, or is larger than
    max_document_bytes, and the file goes on at the next record; None: the first one is the UserError.
    """
    raw = RawFile(path, fields, text_column, max_document_bytes, skipped)
    examples = _format_of(path).read(raw)
    return examples if skipped is None else _complete(examples, raw)


def read_prompts(path: Path) -> Iterator[str]:
    """Every line that is not blank, or the field `prompt` of every record; UserErrors as of `read_examples`."""
    if formats(PACKAGE).get(kind_of(path), PLAIN) is not PLAIN:
        yield from (example.text("prompt") for example in read_examples(path, ("prompt",)))
        return
    raw = RawFile(path)
    with opened(raw) as stream:
        assert stream is not None
        for _, line in lines(stream, raw):
            if line.strip():
                yield line.removesuffix("\n").removesuffix("\r")


def read_whole(path: Path) -> str:
    """A file as one text, whatever its ending says; UserError where it is none."""
    return "".join(text.read_chunks(RawFile(path)))


def stream_texts(path: Path) -> Iterator[Iterator[str]]:
    """Every text in a file as the chunks that it is read in, for files larger than memory; the same UserErrors."""
    if _format_of(path) is PLAIN:
        yield text.read_chunks(RawFile(path))
    else:
        yield from (iter([example.text()]) for example in read_examples(path))


def _format_of(path: Path) -> Format:
    found = formats(PACKAGE).get(kind_of(path))
    if found is None:
        raise UserError(f"'{path}': files with the ending {quoted(kind_of(path))} are not read")
    return found


def _complete(examples: Iterator[Example], raw: RawFile) -> Iterator[Example]:
    """Those that have all that is wanted."""
    for example in examples:
        try:
            for field in raw.fields:
                example.text(field) if field == "text" else example.value(field)
        except UserError as error:
            assert raw.on_skipped is not None
            raw.on_skipped(Skipped(example.name, str(error).removeprefix(f"'{example.name}': ")))
        else:
            yield example
