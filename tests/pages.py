"""The blocks of code on a page of documentation, for the tests that run them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parents[1]
FENCE = re.compile(r'^```(\w+)(?: title="([^"]+)")?\n(.*?)^```$', re.DOTALL | re.MULTILINE)
FILE_NAME = re.compile(r"# (\S+\.(?:py|yaml))\n")


class Block(NamedTuple):
    """language: as the fence names it. title: of the fence, or ''."""

    language: str
    title: str
    text: str

    @property
    def file(self) -> str:
        """The path that its first line is a comment with, '' where it is none: what it shows is that file."""
        found = FILE_NAME.match(self.text)
        return found[1] if found else ""


def blocks(page: str) -> list[Block]:
    """Of a page by its path in the repository, as docs/data.md, in their order."""
    return [Block(*found) for found in FENCE.findall((ROOT / page).read_text(encoding="utf-8"))]


def with_output(found: Sequence[Block]) -> list[tuple[Block, str]]:
    """The blocks of code, each with what the page says that it prints: the block titled "output" below it, or ''."""
    shown: list[tuple[Block, str]] = []
    for block in found:
        if block.title == "output":
            shown[-1] = (shown[-1][0], block.text)
        else:
            shown.append((block, ""))
    return shown


def printed(code: str, file: Path, names: dict[str, Any]) -> str:
    """What it prints, run as if it stood in `file`, among `names`."""
    with redirect_stdout(StringIO()) as output:
        exec(compile(code, file, "exec"), names)
    return output.getvalue()


def file_on(page: str, name: str) -> str:
    """The text of a file that the page shows."""
    (text,) = [block.text for block in blocks(page) if block.file == name]
    return text
