"""Every model family by its `model_type`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from scratchgrad.errors import UserError
from scratchgrad.models.config import ModelConfig
from scratchgrad.models.gpt2 import GPT2
from scratchgrad.models.llama import Llama
from scratchgrad.models.model import Model

FAMILIES: dict[str, type[Model]] = {"gpt2": GPT2, "llama": Llama}


def family_of(model_type: object) -> type[Model]:
    """The class of models with this `model_type`, or a UserError that names the known ones."""
    if not isinstance(model_type, str) or model_type not in FAMILIES:
        raise UserError(f"model.model_type = {model_type!r} is not known; it is one of: {', '.join(FAMILIES)}")
    return FAMILIES[model_type]


def config_from_dict(values: Mapping[str, Any]) -> ModelConfig:
    """The checked config of values in Hugging Face's names. Every key must be known: see `ModelConfig.checked`."""
    return family_of(values.get("model_type")).config_class.checked(values)


def build(config: ModelConfig, *, dropout: float = 0.0) -> Model:
    """A fresh model of this config, its weights drawn where `scratchgrad.random` stands."""
    return family_of(config.model_type)(config, dropout=dropout)
