"""Every model family by its `model_type`, and what it can be by its architecture."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from scratchgrad.errors import UserError
from scratchgrad.models.bert import BertModel
from scratchgrad.models.bert_heads import (
    BertForQuestionAnswering,
    BertForSequenceClassification,
    BertForTokenClassification,
)
from scratchgrad.models.bert_pretraining import BertForMaskedLM, BertForPreTraining
from scratchgrad.models.config import ModelConfig
from scratchgrad.models.experts import MOE_PREFIX
from scratchgrad.models.gpt2 import GPT2
from scratchgrad.models.llama import Llama
from scratchgrad.models.mixtral import Mixtral
from scratchgrad.models.model import Model
from scratchgrad.models.t5 import T5
from scratchgrad.models.transformer import Transformer

# One config serves all architectures of a family; the first is meant where none is named.
FAMILIES: dict[str, tuple[type[Model], ...]] = {
    "bert": (
        BertForPreTraining,
        BertForMaskedLM,
        BertForSequenceClassification,
        BertForTokenClassification,
        BertForQuestionAnswering,
        BertModel,
    ),
    "gpt2": (GPT2,),
    "llama": (Llama,),
    "mixtral": (Mixtral,),
    "t5": (T5,),
    "transformer": (Transformer,),
}


def family_of(model_type: object, architectures: object = None) -> type[Model]:
    """The class of models with this `model_type` and, as config.json has it, this list of one architecture.

    UserError names the known ones. The type of a family with experts leads to the family.
    """
    name = model_type.removeprefix(MOE_PREFIX) if isinstance(model_type, str) else ""
    if name not in FAMILIES:
        raise UserError(f"model.model_type = {model_type!r} is not known; it is one of: {', '.join(FAMILIES)}")
    known = {family.architecture: family for family in FAMILIES[name]}
    if architectures is None:
        return FAMILIES[name][0]
    if not isinstance(architectures, list) or architectures not in [[name] for name in known]:
        raise UserError(
            f"model.architectures = {architectures!r} is not known for model_type {model_type}; it is a list of one "
            f"of: {', '.join(known)}"
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
