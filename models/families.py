"""Every model family by its `model_type`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from scratchgrad.errors import UserError
from scratchgrad.models.config import ModelConfig
from scratchgrad.models.experts import OWN_TYPE
from scratchgrad.models.llama import Llama
from scratchgrad.models.mixtral import Mixtral
from scratchgrad.models.model import Model

FAMILIES: dict[str, type[Model]] = {"llama": Llama, "mixtral": Mixtral}


def family_of(model_type: object) -> type[Model]:
    """The class of models with this `model_type`, with experts or without; UserError that names the known ones."""
    name = model_type.removeprefix(OWN_TYPE) if isinstance(model_type, str) else ""
    if name not in FAMILIES:
        raise UserError(f"model.model_type = {model_type!r} is not known; it is one of: {', '.join(FAMILIES)}")
    return FAMILIES[name]


def config_from_dict(values: Mapping[str, Any]) -> ModelConfig:
    """The checked config of values in Hugging Face's names. Every key must be known: see `ModelConfig.checked`."""
    return family_of(values.get("model_type")).config_class.checked(values)


def build(config: ModelConfig, *, dropout: float = 0.0) -> Model:
    """A fresh model of this config, its weights drawn where `scratchgrad.random` stands."""
    return family_of(config.model_type)(config, dropout=dropout)
