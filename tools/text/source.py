"""A source of examples, and how it is found: `sources/<name>.py` is the source that a recipe calls `<name>`."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from importlib.resources import files
from pathlib import Path
from typing import Any, ClassVar

from scratchgrad.errors import UserError
from scratchgrad.tools.text.example import Example, Skipped

PACKAGE = "scratchgrad.tools.text.sources"


class Source(ABC):
    """Examples by name in a fixed order, read one by one: never all in memory, and the same every time.

    A subclass is a frozen dataclass; its attributes are the settings that decide, with the files at `paths`, what it
    gives, and have the names that a recipe's section `data` has for them. It stands in a file of its own in the folder
    `sources`, under whose name it is found.
    """

    fields: ClassVar[tuple[str, ...] | None] = None  # of its examples; None: what its files have

    @property
    def name(self) -> str:
        return type(self).__module__.rpartition(".")[2]

    def paths(self) -> list[Path]:
        """What is read, in a fixed order; none by a source that makes its examples."""
        return []

    @abstractmethod
    def examples(self, fields: Sequence[str] = ("text",)) -> Iterator[Example]:
        """Every example. fields: what will be read of them, for files that do not name their columns."""

    def read(
        self, path: Path, fields: Sequence[str] = ("text",), skipped: Callable[[Skipped], None] | None = None
    ) -> Iterator[Example]:
        """The examples in one of `paths()`. skipped: is handed what cannot be read; without it that is a UserError.

        A source that has paths has it; one that makes its examples is never asked.
        """
        raise NotImplementedError(f"source '{self.name}' has paths, and does not say how one of them is read")


def source_names() -> list[str]:
    names = (entry.name for entry in files(PACKAGE).iterdir())
    return sorted(name.removesuffix(".py") for name in names if name.endswith(".py") and not name.startswith("_"))


def source_class(name: str) -> type[Source]:
    """The source in `sources/<name>.py`; UserError where there is no such file."""
    if name not in source_names():
        raise UserError(f"there is no source '{name}'; there are: {', '.join(source_names())}")
    module = import_module(f"{PACKAGE}.{name}")
    found = [
        value for value in vars(module).values() if isinstance(value, type) and value.__module__ == module.__name__
    ]
    return next(kind for kind in found if issubclass(kind, Source))


def source_settings(name: str) -> list[str]:
    """The names of a source's settings."""
    kind: Any = source_class(name)
    return [field.name for field in dataclasses.fields(kind)]


def build_source(name: str, **settings: Any) -> Source:
    """The source of this name; UserError for a setting that it does not know, or one that is missing."""
    kind: Any = source_class(name)
    fields = {field.name: field for field in dataclasses.fields(kind)}
    unknown = [setting for setting in settings if setting not in fields]
    if unknown:
        raise UserError(f"source '{name}' has no setting '{unknown[0]}'; it has: {', '.join(fields) or 'none'}")
    needed = [field.name for field in fields.values() if field.default is dataclasses.MISSING]
    missing = [setting for setting in needed if not settings.get(setting)]
    if missing:
        raise UserError(f"source '{name}' needs {' and '.join(missing)}")
    source = kind(**settings)
    assert isinstance(source, Source)
    return source
