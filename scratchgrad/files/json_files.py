"""JSON that others may have written: bounded in size, and without a name that comes twice."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scratchgrad.errors import UserError, quoted
from scratchgrad.files.atomic import atomic_file
from scratchgrad.files.faults import read_fault

LARGEST = 1 << 24  # bytes; a config has a few thousand, the index of a large model some hundred thousand


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file; UserError where there is no such file, or it holds something else."""
    try:
        with path.open("rb") as file:
            text = file.read(LARGEST + 1)
    except OSError as error:
        raise read_fault(path, error) from None
    if len(text) > LARGEST:
        raise UserError(f"'{path}' has more than {LARGEST:,} bytes: that is no config")
    try:
        values = parse_json(text)
    except (ValueError, RecursionError) as error:
        raise UserError(f"'{path}' is not JSON: {error}") from None
    if not isinstance(values, dict):
        raise UserError(f"'{path}' holds a {type(values).__name__} where an object is needed")
    return values


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    """Write an object as JSON, whole or not at all."""
    with atomic_file(path) as file:
        file.write((json.dumps(values, indent=2) + "\n").encode())


def parse_json(text: bytes) -> Any:
    """The value of a JSON text. ValueError: it is none, or has NaN or a name twice; RecursionError: too deep."""
    return json.loads(text, object_pairs_hook=_without_repetition, parse_constant=_refuse)


def _without_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    entries: dict[str, Any] = {}
    for name, value in pairs:
        if name in entries:
            raise ValueError(f"the name {quoted(name)} comes twice")
        entries[name] = value
    return entries


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is no number of JSON")
