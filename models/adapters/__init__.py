"""Adapters: a few trained numbers beside a model whose own weights stay as they are, in PEFT's files."""

from scratchgrad.models.adapters.adapting import (
    adapt,
    adapted_layers,
    adapter_parameters,
    is_adapted,
    plain_layers,
    remove_adapter,
)
from scratchgrad.models.adapters.config import AdapterConfig
from scratchgrad.models.adapters.files import (
    base_model_of,
    is_adapter,
    load_adapter,
    read_adapter_config,
    save_adapter,
)
from scratchgrad.models.adapters.merging import merge, unmerge
from scratchgrad.models.adapters.targets import trained_whole

__all__ = [
    "AdapterConfig", "adapt", "adapted_layers", "adapter_parameters", "base_model_of", "is_adapted", "is_adapter",
    "load_adapter", "merge", "plain_layers", "read_adapter_config", "remove_adapter", "save_adapter", "trained_whole",
    "unmerge",
]  # fmt: skip
