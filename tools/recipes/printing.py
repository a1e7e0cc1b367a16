"""A recipe for people: its YAML, with what each key means beside it."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from scratchgrad.tools.recipes.yaml_values import to_text

COLUMN = 34  # where comments begin
WIDTH = 110


def to_described_text(recipe: BaseModel, sections: Sequence[str] | None = None) -> str:
    """The recipe, defaults included, as YAML that loads back to an equal one; of these sections, by default of all.

    Behind each key, as a comment, are its field's description, and the values that it may take where these are few.
    """
    lines: list[str] = []
    for section in type(recipe).model_fields if sections is None else sections:
        values = getattr(recipe, section)
        lines += _commented(f"{section}:", _meaning(type(recipe).model_fields[section]))
        if not isinstance(values, BaseModel):
            lines += textwrap.indent(to_text(values), "  ").splitlines()
            continue
        known = type(values).model_fields
        for name, value in values.model_dump().items():
            written = textwrap.indent(to_text({name: value}), "  ").splitlines()
            meaning = _meaning(known[name]) if name in known else ""
            # what is written over several lines may be one text, into which no comment can be put
            lines += _commented(written[0], meaning) if len(written) == 1 else [*_commented("", meaning), *written]
    return "\n".join(lines) + "\n"


def _meaning(field: FieldInfo) -> str:
    choices = " | ".join(_choices(field.annotation))
    return "; ".join(part for part in (field.description, choices) if part)


def _choices(annotation: Any) -> list[str]:
    if get_origin(annotation) is Literal:
        return [str(choice) for choice in get_args(annotation)]
    if get_origin(annotation) in (Union, UnionType):
        return [choice for part in get_args(annotation) for choice in _choices(part)]
    return []


def _commented(line: str, meaning: str) -> list[str]:
    """The line with the comment behind it, which goes on below where it is long."""
    if not meaning:
        return [line] if line else []
    parts = textwrap.wrap(meaning, WIDTH - COLUMN)
    first, *rest = [f"{' ' * COLUMN}# {part}" for part in parts]
    return [f"{line.ljust(COLUMN - 1)} {first[COLUMN:]}", *rest]
