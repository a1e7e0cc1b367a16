"""The same documents under other thresholds, without reading, editing and measuring them again."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from scratchgrad.errors import UserError
from scratchgrad.files import verify_manifest
from scratchgrad.tools.curation.engine import STAGES
from scratchgrad.tools.curation.recipe import Recipe, load_recipe
from scratchgrad.tools.curation.resuming import RECIPE
from scratchgrad.tools.curation.shards import DOCUMENTS
from scratchgrad.tools.curation.step import Edit, Filter

FIRST = "0-documents"


def begin_refilter(old: Path, new: Path, overrides: Sequence[str]) -> Recipe:
    """Give the folder `new` what the first document stage of `old` measured; the recipe of `old` with the overrides,
    which the engine then carries out in `new`.

    UserError where an override changes more than thresholds of rules: that asks for measuring again.
    """
    verify_manifest(old, sizes_only=True)
    before = load_recipe(str(old / RECIPE))
    recipe = load_recipe(str(old / RECIPE), overrides)
    for key in changed_keys(before, recipe):
        if key not in thresholds(before) | thresholds(recipe):
            raise UserError(f"{key} decides what is measured, not what is dropped: curate again, with another --out")
    if not list((old / STAGES / FIRST).glob(f"*/{DOCUMENTS}")):
        raise UserError(f"'{old}' has not kept what was dropped (curate.keep_dropped = false): curate again")
    if not (new / STAGES / FIRST).exists():
        unfinished = new / STAGES / f".tmp-{FIRST}-{os.getpid()}"
        unfinished.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(old / STAGES / FIRST, unfinished, copy_function=_link)
        unfinished.rename(new / STAGES / FIRST)
    return recipe


def thresholds(recipe: Recipe) -> set[str]:
    """The settings that decide only which of the documents measured are dropped: `section.key`."""
    steps = [step for step in recipe.steps if isinstance(step, (Edit, Filter))]
    return {f"{step.name}.{rule.setting}" for step in steps for rule in step.rules()}


def changed_keys(before: Recipe, after: Recipe) -> list[str]:
    then, now = before.model_dump(), after.model_dump()
    return [f"{section}.{key}" for section in then for key in then[section] if then[section][key] != now[section][key]]


def _link(source: str, target: str) -> None:
    """A second name of the same file, or a copy where the file system has no such thing."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
