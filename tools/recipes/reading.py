"""Recipes in YAML: found by name, overridden on the command line, refused with one sentence a mistake."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from scratchgrad.errors import UserError
from scratchgrad.tools.recipes.yaml_values import parse

LARGEST_RECIPE = 1 << 17  # bytes
MOST_TOLD = 10  # mistakes
LONGEST_TOLD = 80  # characters of a value

Recipe = TypeVar("Recipe", bound=BaseModel)


def read_values(name: str, package: str, overrides: Sequence[str], sections: Sequence[str]) -> dict[str, Any]:
    """The sections in the file `name`, or in the recipe of that name in `package` (with or without .yaml), with
    `section.key=value` overrides. UserError where there is none, or it is not YAML of sections.

    sections: the names of those that a recipe of this kind has.
    """
    values = _read(name, package, sections)
    for override in overrides:
        _override(values, override)
    return values


def build(kind: type[Recipe], values: dict[str, Any], name: str) -> Recipe:
    """A recipe of this kind; UserError lists every mistake, each with the recipe's name or behind it."""
    try:
        return kind(**values)
    except ValidationError as error:
        sentences = list(dict.fromkeys(_sentence(fault, kind) for fault in error.errors()[: MOST_TOLD + 1]))
        more = error.error_count() - MOST_TOLD
        sentences = [*sentences[:MOST_TOLD], f"and {more} more"] if more > 0 else sentences
        raise UserError(f"{name}: {sentences[0]}", *sentences[1:]) from None


def recipe_name(name: str) -> str:
    """What a recipe is called: the file's name without its ending."""
    return Path(name).name.removesuffix(".yaml").removesuffix(".yml")


def packaged(package: str) -> list[str]:
    """The names of the files of the recipes in a package."""
    return sorted(entry.name for entry in files(package).iterdir() if entry.name.endswith(".yaml"))


def _read(name: str, package: str, sections: Sequence[str]) -> dict[str, Any]:
    path, file_name = Path(name), f"{recipe_name(name)}.yaml"
    try:
        if path.is_file():
            if path.stat().st_size > LARGEST_RECIPE:
                raise UserError(f"'{name}' has {path.stat().st_size} bytes: that is no recipe")
            text = path.read_text(encoding="utf-8")
        elif file_name in packaged(package):
            text = files(package).joinpath(file_name).read_text(encoding="utf-8")
        else:
            raise UserError(
                f"there is no file '{name}', and no packaged recipe of that name: {', '.join(packaged(package))}"
            )
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"'{name}' cannot be read: {error}") from None
    try:
        values = parse(text)
    except ValueError as error:
        raise UserError(f"'{name}' is not YAML of a recipe: {error}") from None
    if not isinstance(values, dict) or not all(isinstance(section, dict) for section in values.values()):
        raise UserError(f"'{name}' is not a recipe: it needs sections ({', '.join(sections)}) with keys below")
    return values


def _override(values: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    section, dot, name = key.partition(".")
    if not equals or not dot or not name:
        raise UserError(f"{_told(override)} is not an override; they look like train.steps=40")
    try:
        is_glob = name == "files" and text.startswith("*")  # which would be an alias of YAML
        value = text if is_glob else parse(text)
    except ValueError as error:
        hint = '; a glob that begins with * stands in quotes: ["*.txt"]' if name == "files" and "*" in text else ""
        raise UserError(f"{_told(key)}: {_told(text)} is not a YAML value: {error}{hint}") from None
    values.setdefault(section, {})[name] = value


def _known_keys(kind: type[BaseModel]) -> list[str]:
    keys = []
    for section, field in kind.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            keys += [f"{section}.{name}" for name in field.annotation.model_fields]
        else:
            keys.append(f"{section}.")
    return keys


def _sentence(fault: Any, kind: type[BaseModel]) -> str:
    key = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in fault["loc"]).removeprefix(".")
    if len(key) > LONGEST_TOLD or not key.isprintable():
        key = _told(key)
    if fault["type"] == "extra_forbidden":
        return f"{key} is not a known key{_hint(key, kind)}"
    if fault["type"] == "missing":
        return f"{key} is missing"
    if fault["type"] == "value_error":  # our own sentences, and those of the model's config
        return str(fault["ctx"]["error"])
    return f"{key} = {_told(fault['input'])}: {fault['msg'][0].lower()}{fault['msg'][1:]}"


def _told(value: Any) -> str:
    """A value as Python writes it, cut where it is long; what cannot be printed is escaped."""
    text = repr(value)
    return text if len(text) <= LONGEST_TOLD else f"{text[:LONGEST_TOLD]}..."


def _hint(key: str, kind: type[BaseModel]) -> str:
    """The nearest known key: the same name in another section first, then a similar one."""
    keys = _known_keys(kind)
    section, _, name = key.partition(".")
    if not name:
        near = difflib.get_close_matches(section, list(kind.model_fields), n=1)
        return f"; the sections are {', '.join(kind.model_fields)}" + (f"; did you mean {near[0]}?" if near else "")
    elsewhere = [known for known in keys if known.endswith(f".{name}")]
    near = (
        elsewhere
        or difflib.get_close_matches(key, keys, n=1)
        or difflib.get_close_matches(name, [k.partition(".")[2] for k in keys], n=1)
    )
    return f"; did you mean {near[0]}?" if near else ""
