"""The sources of the standard library of the interpreter that runs: real text that every machine has."""

from __future__ import annotations

import sysconfig
import tokenize
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from scratchgrad.tools.text.example import Example
from scratchgrad.tools.text.raw_file import OnSkipped, RawFile
from scratchgrad.tools.text.source import Source
from scratchgrad.tools.text.streams import tells_read_faults

# Parts of the standard library that are not prose about programs: tests, and tables that programs wrote.
LEFT_OUT_FOLDERS = {
    "site-packages", "dist-packages", "test", "tests", "idle_test", "__pycache__", "encodings", "pydoc_data",
}  # fmt: skip
LEFT_OUT_FILES = ("_sysconfigdata", "_opcode_metadata", "stringprep", "token.py")


@dataclass(frozen=True)
class StdlibSource(Source):
    """Documents, in the order of their paths below the library's root, which are their names."""

    fields = ("text",)

    def paths(self) -> list[Path]:
        root = _root()
        found = [path for path in root.rglob("*.py") if _is_wanted(path.relative_to(root))]
        return sorted(found, key=lambda path: path.relative_to(root).as_posix())

    def examples(self, fields: Sequence[str] = ("text",)) -> Iterator[Example]:
        for path in self.paths():
            yield from self.read(path, fields)

    def read(
        self, path: Path, fields: Sequence[str] = ("text",), skipped: OnSkipped | None = None
    ) -> Iterator[Example]:
        try:
            with tells_read_faults(path), tokenize.open(path) as file:  # heeds a coding line
                text = file.read()
        except (SyntaxError, UnicodeDecodeError) as error:
            RawFile(path, on_skipped=skipped).skip("", f"cannot be read: {error}")
        else:
            yield Example(path.relative_to(_root()).as_posix(), {"text": text})


def _root() -> Path:
    return Path(sysconfig.get_paths()["stdlib"])


def _is_wanted(relative: Path) -> bool:
    return not LEFT_OUT_FOLDERS.intersection(relative.parts) and not relative.name.startswith(LEFT_OUT_FILES)
