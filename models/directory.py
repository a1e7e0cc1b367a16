"""A model directory in Hugging Face's layout: config.json, model.safetensors, generation_config.json."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scratchgrad.errors import UserError
from scratchgrad.files import atomic_file, write_tensors
from scratchgrad.models.config import BOOKKEEPING
from scratchgrad.models.families import config_from_dict, family_of
from scratchgrad.models.model import Model
from scratchgrad.models.weights import read_hugging_face, to_hugging_face

LARGEST_CONFIG = 1 << 20  # bytes; a config.json has a few thousand


def save(model: Model, folder: Path, generation_config: Mapping[str, Any] | None = None) -> None:
    """Write the model into `folder`, which is made if it is not there. Each file is whole or as it was before."""
    folder.mkdir(parents=True, exist_ok=True)
    told = {"architectures": [model.architecture], "torch_dtype": "float32"}
    _write_json(folder / "config.json", told | model.config.model_dump(exclude_none=True))
    if generation_config is not None:
        _write_json(folder / "generation_config.json", dict(generation_config))
    tensors = to_hugging_face(model.state_dict(), model.weight_map(model.config))
    with atomic_file(folder / "model.safetensors") as file:
        write_tensors(Path(file.name), tensors, {"format": "pt"})  # the mark that transformers looks for


def load(folder: Path) -> Model:
    """The model in `folder`, on the CPU and in float32; UserError where a file is missing, damaged or does not fit."""
    values = _read_json(folder / "config.json")
    family = family_of(values.get("model_type"), values.get("architectures"))
    known = family.config_class.model_fields
    config = config_from_dict({key: value for key, value in values.items() if key in known or key not in BOOKKEEPING})
    model = family(config)
    shapes = {name: parameter.shape for name, parameter in model.named_parameters()}
    model.load_state_dict(read_hugging_face(folder / "model.safetensors", shapes, model.weight_map(model.config)))
    return model


def load_generation_config(folder: Path) -> dict[str, Any]:
    """generation_config.json: `bos_token_id`, `eos_token_id` and the like; empty where there is none."""
    path = folder / "generation_config.json"
    return _read_json(path) if path.exists() else {}


def _write_json(path: Path, values: dict[str, Any]) -> None:
    with atomic_file(path) as file:
        file.write((json.dumps(values, indent=2) + "\n").encode())


def _read_json(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > LARGEST_CONFIG:
            raise UserError(f"'{path}' has {path.stat().st_size} bytes: that is no config")
        values = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise UserError(f"'{path}' does not exist: '{path.parent}' is not a model directory") from None
    except (ValueError, RecursionError) as error:
        raise UserError(f"'{path}' is not JSON: {error}") from None
    if not isinstance(values, dict):
        raise UserError(f"'{path}' holds a {type(values).__name__} where an object is needed")
    return values
