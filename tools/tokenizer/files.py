"""Reading a vocabulary's files: whole, at most so large, and with the file and line in every complaint."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from scratchgrad.errors import UserError, printable, quoted
from scratchgrad.files.faults import read_fault

Kind = TypeVar("Kind")

LARGEST_FILE = 256 << 20  # bytes; the largest known one has some 30 MB
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


def read_file(path: Path) -> bytes:
    """Its bytes; UserError where it is not there, cannot be read, or is no vocabulary by its size."""
    try:
        size = path.stat().st_size
        if size > LARGEST_FILE:
            raise UserError(f"'{path}' has {size:,} bytes: that is no tokenizer")
        return path.read_bytes()
    except FileNotFoundError:
        raise UserError(f"'{path}' does not exist; scratchgrad-tokenize train makes one") from None
    except OSError as error:
        raise read_fault(path, error) from None


def read_text_file(path: Path) -> str:
    raw = read_file(path)
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise UserError(f"'{path}', line {line}: not UTF-8: a byte 0x{raw[error.start]:02x}") from None


def read_json_object(path: Path) -> dict[str, Any]:
    """UserError with the line where it is no JSON, is no object, or names something twice."""
    text = read_text_file(path)
    try:
        content = json.loads(text, object_pairs_hook=_without_repeats, parse_constant=_no_number)
        if _SURROGATE.search(text):
            json.dumps(content, ensure_ascii=False).encode()
    except UserError as fault:
        raise UserError(f"'{path}': {fault}") from None
    except json.JSONDecodeError as error:
        raise UserError(f"'{path}', line {error.lineno}: not JSON: {error.msg}") from None
    except UnicodeEncodeError as error:
        raise UserError(f"'{path}' has half a surrogate pair in a string: {error.object[error.start]!a}") from None
    except (ValueError, RecursionError) as error:
        raise UserError(f"'{path}' is not JSON: {error}") from None
    if not isinstance(content, dict):
        raise UserError(f"'{path}' is not a tokenizer: it holds a JSON {type(content).__name__}, not an object")
    return content


def entry(step: Mapping[str, Any], key: str, kind: type[Kind], *default: Kind) -> Kind:
    """step[key], which is a `kind`; `default` where it is not there. UserError for anything else."""
    value = step.get(key, *default)
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise UserError(f"{quoted(step.get('type'))} has {key} = {quoted(value)}, which is no {kind.__name__}")
    return value


def base64_bytes(text: str) -> bytes:
    """UserError where it is no base64."""
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError, TypeError):
        raise UserError(f"{quoted(text)} is not base64") from None


@contextmanager
def complaints_name(path: Path) -> Iterator[None]:
    """A UserError that says what is wrong gets in front of it where; one that does so already is let be."""
    try:
        yield
    except UserError as fault:
        raise fault if str(fault).startswith("'" + printable(str(path))) else UserError(f"'{path}': {fault}") from None


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        counts = Counter(key for key, _ in pairs)
        twice = next(key for key, count in counts.items() if count > 1)
        raise UserError(f"{quoted(twice)} stands there twice")
    return content


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is no number there")
