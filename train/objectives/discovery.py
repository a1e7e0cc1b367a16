"""Objectives found by the names of their files: adding one is adding a file to this folder."""

from __future__ import annotations

import inspect
import pkgutil
from collections.abc import Mapping
from functools import cache
from importlib import import_module

from scratchgrad.errors import UserError
from scratchgrad.models import Model
from scratchgrad.train.objectives.objective import Objective

FOLDER = __package__


@cache
def objectives(package: str = FOLDER) -> Mapping[str, type[Objective]]:
    """Of every file in the package that defines one: its name, and its class of objective. Other files only help."""
    found = {}
    for module in pkgutil.iter_modules(import_module(package).__path__):
        defined = [
            value
            for value in vars(import_module(f"{package}.{module.name}")).values()
            if inspect.isclass(value) and issubclass(value, Objective) and not inspect.isabstract(value)
            and value.__module__ == f"{package}.{module.name}"
        ]  # fmt: skip
        if len(defined) > 1:
            raise TypeError(f"{package}.{module.name} defines several objectives; each has a file of its own")
        if defined:
            found[module.name] = defined[0]
    return found


def objective_for(model: type[Model], name: str | None = None, package: str = FOLDER) -> str:
    """`name`, or the default of this class of models; UserError where there is none, or it does not train the class.

    The default is that of the nearest class: what names a BertForPreTraining comes before what names its base class.
    """
    known = objectives(package)
    trained_by = [candidate for candidate, kind in known.items() if issubclass(model, kind.trains)]
    if name is not None and name not in known:
        raise UserError(f"train.objective = {name!r} is not known; it is one of: {', '.join(known)}")
    if name is not None and name not in trained_by:
        raise UserError(
            f"train.objective = {name}: a {model.architecture} can be trained for {', '.join(trained_by) or 'nothing'}"
        )
    if name is not None:
        return name
    for base in model.__mro__:
        for candidate in trained_by:
            if base in known[candidate].default_for:
                return candidate
    raise UserError(
        f"train.objective is missing: a {model.architecture} can be trained for {', '.join(trained_by) or 'nothing'}"
    )
