"""The recipes of training runs, in YAML: packaged, or the user's own."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from typing import Any

from scratchgrad.errors import UserError
from scratchgrad.tools.recipes import build, packaged, read_values, recipe_name, to_described_text, to_text
from scratchgrad.train.init_from import resolve
from scratchgrad.train.recipe import Recipe
from scratchgrad.train.renamed import refuse_old_names

PACKAGE = "scratchgrad.train.recipes"

__all__ = [
    "build_recipe", "load_recipe", "packaged_recipes", "recipe_name", "to_described_yaml", "to_yaml",
    "what_recipes_are",
]  # fmt: skip


def load_recipe(name: str, overrides: Sequence[str] = ()) -> Recipe:
    """The recipe in file `name`, or the packaged one of that name (with or without .yaml), with `section.key=value`
    overrides. UserError lists every mistake.
    """
    return build_recipe(read_values(name, PACKAGE, overrides, list(Recipe.model_fields)), name)


def build_recipe(values: dict[str, Any], name: str) -> Recipe:
    """A recipe of these sections, with what a model to begin from says of it; UserError lists every mistake."""
    refuse_old_names(values, name)
    try:
        resolved = resolve(values)
    except UserError as mistake:
        raise UserError(f"{name}: {mistake}") from None
    return build(Recipe, resolved, name)


def to_yaml(recipe: Recipe) -> str:
    """The whole recipe, defaults included, in the order of its sections; it loads back to an equal one."""
    return to_text(recipe.model_dump())


def to_described_yaml(recipe: Recipe) -> str:
    """As `to_yaml`, with what each key means beside it."""
    return to_described_text(recipe)


def packaged_recipes() -> list[str]:
    return packaged(PACKAGE)


def what_recipes_are() -> dict[str, str]:
    """Of each packaged recipe: its name, and the sentence that its file begins with."""
    texts = {name: files(PACKAGE).joinpath(name).read_text(encoding="utf-8") for name in packaged_recipes()}
    return {name: text.partition("\n")[0].removeprefix("# ") for name, text in texts.items()}
