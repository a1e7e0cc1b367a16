"""Web pages: a file is one document, its main text."""

from __future__ import annotations

from collections.abc import Iterator

from scratchgrad.tools.text.example import Example
from scratchgrad.tools.text.html_text import NotRead, decoded, main_text
from scratchgrad.tools.text.raw_file import RawFile
from scratchgrad.tools.text.streams import unpacked

ENDINGS = (".html", ".htm", ".xhtml")


def read(raw: RawFile) -> Iterator[Example]:
    with unpacked(raw) as stream:
        if stream is None:
            return
        page = stream.read(raw.longest_line + 1)
        if stream.damage:
            raw.skip("", stream.damage)
        elif not page:
            raw.skip("", "is empty: leave it out")
        elif len(page) > raw.longest_line:
            raw.skip("", f"more than {raw.longest_line:,} bytes, which a page may have")
        else:
            try:
                text = main_text(decoded(page))
            except NotRead as error:
                raw.skip("", f"is not read: {error}")
            else:
                yield raw.example("", {"text": text})
