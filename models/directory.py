"""A model directory in Hugging Face's layout: config.json, generation_config.json, and weights in safetensors files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scratchgrad.errors import UserError, quoted
from scratchgrad.files import read_json, write_json
from scratchgrad.models.adapters.adapting import is_adapted
from scratchgrad.models.config import BOOKKEEPING
from scratchgrad.models.families import family_of
from scratchgrad.models.model import Model
from scratchgrad.models.shards import LARGEST_SHARD, Dtype, map_weights, write_weights
from scratchgrad.models.weight_loading import (
    Mismatch,
    describe_mismatches,
    load_weights,
    suggest_config_changes,
    validate_weights,
)
from scratchgrad.models.weights import Arrays, to_hugging_face

# Of a generation_config.json; the second may be a list.
TOKEN_IDS = ("bos_token_id", "eos_token_id", "pad_token_id", "decoder_start_token_id")


def save(
    model: Model,
    folder: Path | str,
    generation_config: Mapping[str, Any] | None = None,
    *,
    dtype: Dtype = "float32",
    max_shard_size: int = LARGEST_SHARD,
) -> None:
    """Write the model into `folder`, which is made if it is not there. Each file is whole or as it was before.

    Weights are written as `dtype`. More than `max_shard_size` bytes of them are cut into several files with an index.
    UserError where float16 cannot hold a weight, or where the model has an adapter beside its weights.
    """
    if is_adapted(model):
        raise UserError("the model has an adapter: save it with save_adapter, or merge and remove_adapter first")
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    write_weights(folder, to_hugging_face(model.state_dict(), model.weight_map(model.config)), dtype, max_shard_size)
    save_config(model, folder, generation_config, dtype=dtype)


def save_config(
    model: Model, folder: Path, generation_config: Mapping[str, Any] | None = None, *, dtype: Dtype = "float32"
) -> None:
    """Of what `save` writes, all but the weights, which are in `folder` already, or in the model that it began from."""
    header = {"architectures": [model.architecture], "torch_dtype": dtype}
    write_json(folder / "config.json", header | model.config.model_dump(exclude_none=True, by_alias=True))
    if generation_config is not None:
        write_json(folder / "generation_config.json", generation_config)


def load(folder: Path | str) -> Model:
    """The model in `folder`, on the CPU and in float32; UserError where a file is missing, damaged or does not fit.

    Nothing is allocated before all shapes were found to fit. Weights are cast from the mapped files into the model's
    own arrays: beside these, loading takes no memory.
    """
    model, stored = _mapped(Path(folder))
    load_weights(model, stored)
    return model


def load_shapes(folder: Path | str) -> Model:
    """As `load`, with the same errors, but without memory for weights: their names and shapes alone."""
    return _mapped(Path(folder))[0]


def load_config(folder: Path | str) -> Model:
    """The model that config.json describes, with shapes alone, whatever weights are beside it.

    UserError where it is missing, damaged or asks for what is not supported.
    """
    return _described(_values(Path(folder)), None)


def _values(folder: Path) -> dict[str, Any]:
    if not (folder / "config.json").exists():
        raise UserError(f"'{folder / 'config.json'}' does not exist: '{folder}' is not a model directory")
    return read_json(folder / "config.json")


def _described(values: Mapping[str, Any], stored: Arrays | None) -> Model:
    """The model of a config.json, with shapes alone; stored: the arrays of its files, which may tell more."""
    family = family_of(values.get("model_type"), values.get("architectures")).for_files(values)
    told = values if stored is None else family.config_values(values, stored)
    known = family.config_class.model_fields
    config = family.config_class.checked(
        {key: value for key, value in told.items() if key in known or key not in BOOKKEEPING}
    )
    return family.with_shapes_only(config)


def _mapped(folder: Path) -> tuple[Model, Arrays]:
    """The model with shapes alone, and the arrays of its files, which were found to fit."""
    values = _values(folder)
    stored = map_weights(folder)
    model = _described(values, stored)
    if mismatches := validate_weights(model, stored):
        advice = _advice(model, stored, mismatches)
        raise UserError(
            f"the weights in '{folder}' do not fit its config.json: {describe_mismatches(mismatches)}{advice}"
        )
    return model, stored


def load_generation_config(folder: Path | str, vocab_size: int | None = None) -> dict[str, Any]:
    """generation_config.json, and what it does not say of `bos_token_id` and `eos_token_id` as config.json says it, as
    in transformers. Empty where neither says anything.

    UserError for an id that is none, or that a model of `vocab_size` does not have.
    """
    generation, model = Path(folder) / "generation_config.json", Path(folder) / "config.json"
    values = read_json(generation) if generation.exists() else {}
    for name in TOKEN_IDS:
        _check_ids(generation, name, values.get(name), vocab_size)
    told = read_json(model) if model.exists() else {}
    for name in ("bos_token_id", "eos_token_id"):
        if values.get(name) is None and told.get(name) is not None:
            _check_ids(model, name, told[name], vocab_size)
            values[name] = told[name]
    return values


def _check_ids(path: Path, name: str, value: Any, vocab_size: int | None) -> None:
    several = isinstance(value, list) and name == "eos_token_id"
    for token in value if several else [] if value is None else [value]:
        if type(token) is not int or token < 0 or (vocab_size is not None and token >= vocab_size):
            last = "" if vocab_size is None else f" from 0 to {vocab_size - 1}"
            raise UserError(f"'{path}' has {name} = {quoted(value)}, which is no id of a token{last}")


def _advice(model: Model, stored: Arrays, mismatches: list[Mismatch]) -> str:
    changes = suggest_config_changes(model, stored, mismatches)
    values = " and ".join(f"{name} = {json.dumps(value)}" for name, value in changes.items())
    return f"; they would fit {values}" if values else ""
