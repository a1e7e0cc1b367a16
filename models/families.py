"""Every model family, found by its file: adding one is adding a file to this folder, or registering a class."""

from __future__ import annotations

import inspect
import pkgutil
from collections.abc import Mapping
from functools import cache
from importlib import import_module
from typing import Any, TypeVar

from scratchgrad.errors import UserError, quoted
from scratchgrad.models.config import ModelConfig
from scratchgrad.models.experts import MOE_PREFIX
from scratchgrad.models.model import Model

Class = TypeVar("Class", bound=type[Model])

FOLDER = __package__
REGISTERED: dict[tuple[str, str], type[Model]] = {}  # by model_type and architecture


@cache
def packaged_models() -> tuple[type[Model], ...]:
    """The classes with an `architecture` of their own in the files of this package. Other files only help."""
    return tuple(
        value
        for module in pkgutil.iter_modules(import_module(FOLDER).__path__, f"{FOLDER}.")
        for value in vars(import_module(module.name)).values()
        if inspect.isclass(value) and issubclass(value, Model) and value.__module__ == module.name
        and "architecture" in vars(value)
    )  # fmt: skip


def register(model: Class) -> Class:
    """Make a class of models outside of this package known, as a decorator or a function; returns the class.

    Its config's `model_type` and its `architecture` are then what config.json and recipes say. TypeError where it has
    none of either, ValueError where another class has both. Defined once more, as in a notebook, it replaces itself.
    """
    if "architecture" not in vars(model):
        raise TypeError(f"{model.__name__} names no architecture of its own")
    model_type, architecture = _model_type(model), model.architecture
    taken = next((kind for kind in families().get(model_type, ()) if kind.architecture == architecture), model)
    if (taken.__module__, taken.__qualname__) != (model.__module__, model.__qualname__):
        raise ValueError(
            f"architecture {architecture} of model_type {model_type} is {taken.__module__}.{taken.__qualname__} "
            "already; choose another name for either"
        )
    REGISTERED[model_type, architecture] = model
    return model


def families() -> dict[str, tuple[type[Model], ...]]:
    """Every model_type with its classes: first the one that is meant where a config names no architecture.

    That is the class with `is_default`, or the one that was found first. One config serves all of them.
    """
    known = {(_model_type(model), model.architecture): model for model in packaged_models()} | REGISTERED
    found: dict[str, list[type[Model]]] = {}
    for (model_type, _), model in known.items():
        found.setdefault(model_type, []).append(model)
    return {
        name: tuple(sorted(kinds, key=lambda kind: not vars(kind).get("is_default"))) for name, kinds in found.items()
    }


def _model_type(model: type[Model]) -> str:
    config_class = getattr(model, "config_class", ModelConfig)
    name = config_class.model_fields["model_type"].default
    if not isinstance(name, str):
        raise TypeError(
            f"{model.__name__} has no config_class whose model_type has a value, as in: model_type: str = 'a'"
        )
    return name


def family_of(model_type: object, architectures: object = None) -> type[Model]:
    """The class of models with this `model_type` and, as config.json has it, this list of one architecture.

    UserError names the known ones. The type of a family with experts leads to the family.
    """
    name = model_type.removeprefix(MOE_PREFIX) if isinstance(model_type, str) else ""
    known_types = families()
    if name not in known_types:
        raise UserError(f"model.model_type = {quoted(model_type)} is not known; it is one of: {', '.join(known_types)}")
    known = {family.architecture: family for family in known_types[name]}
    if architectures is None or architectures == [known_types[name][0].bare_architecture]:
        return known_types[name][0]
    if not isinstance(architectures, list) or architectures not in [[name] for name in known]:
        raise UserError(
            f"model.architectures = {quoted(architectures)} is not known for model_type {model_type}; it is a list of "
            f"one of: {', '.join(known)}"
        )
    return known[architectures[0]]


def config_from_dict(values: Mapping[str, Any]) -> ModelConfig:
    """The checked config of values in Hugging Face's names. Every key must be known: see `ModelConfig.checked`."""
    family = family_of(values.get("model_type"), values.get("architectures"))
    return family.config_class.checked({name: value for name, value in values.items() if name != "architectures"})


def build(config: ModelConfig, *, architectures: list[str] | None = None, dropout: float = 0.0) -> Model:
    """A fresh model of this config. Its weights depend on the seed (`manual_seed`) and on their names alone."""
    model = family_of(config.model_type, architectures).with_shapes_only(config, dropout=dropout)
    model.reset_parameters()
    return model
