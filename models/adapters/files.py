"""Adapters on disk, in PEFT's layout: adapter_config.json, and adapter_model.safetensors with every trained tensor."""

from __future__ import annotations

import re
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from scratchgrad.backend import Array, to_device, to_numpy
from scratchgrad.errors import UserError, quoted
from scratchgrad.files import atomic_file, map_tensors, read_json, write_json, write_tensors
from scratchgrad.files.tensors import read_metadata
from scratchgrad.models.adapters.adapting import adapt, adapted_layers, pair_parameters, remove_adapter
from scratchgrad.models.adapters.config import ALL_LINEAR, AdapterConfig
from scratchgrad.models.adapters.targets import candidates, trained_whole
from scratchgrad.models.decoder import Decoder
from scratchgrad.models.encoder_decoder import EncoderDecoder
from scratchgrad.models.model import Model
from scratchgrad.models.shards import MARK
from scratchgrad.models.weight_loading import FLOATS, Mismatch, describe_mismatches
from scratchgrad.models.weights import HFTensor, hf_views

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
PICKLED = "adapter_model.bin"
PREFIX = "base_model.model."  # before every name
BASE_SUM = "base_model_sha256"  # in the metadata: of the weights that the adapter was trained beside
BASE_COPY = ".base_layer.weight"  # which PEFT adds where an embedding or the output layer has a pair
# PEFT's other ways, each with the values that say it is not used.
UNUSED: dict[str, tuple[Any, ...]] = {
    "bias": ("none",), "rank_pattern": ({}, None), "alpha_pattern": ({}, None), "layers_to_transform": (None,),
    "layers_pattern": (None, []), "layer_replication": (None,), "exclude_modules": (None, []), "lora_bias": (False,),
    "target_parameters": (None, []), "trainable_token_indices": (None,), "alora_invocation_tokens": (None,),
    "use_qalora": (False,), "use_bdlora": (None, False), "arrow_config": (None,), "velora_config": (None,),
    "monteclora_config": (None,), "kasa_config": (None,),
    "init_lora_weights": (True, False, "gaussian", "orthogonal", "eva"),  # others change the base model
}  # fmt: skip


def is_adapter(folder: Path | str) -> bool:
    """Does the folder hold an adapter?"""
    return (Path(folder) / CONFIG).is_file()


def save_adapter(model: Model, folder: Path | str, *, base_model: str | None = None) -> None:
    """Write the adapter of a model into `folder`, which is made if it is not there: pairs, and what is trained whole.

    PEFT opens it beside the same model. base_model: the directory of the model that it belongs to, to be found by.
    Weights are float32. UserError where the model has no adapter.
    """
    layers = [layer for _, layer in adapted_layers(model)]
    if not layers:
        raise UserError(f"this {model.architecture} has no adapter that could be saved")
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {PREFIX + key: to_numpy(view) for layer in layers for key, _, view in layer.stored()}
    whole = _whole_tensors(model)
    tensors |= {PREFIX + hf_tensor.name: to_numpy(view) for hf_tensor, view in whole}
    with atomic_file(folder / WEIGHTS) as file:
        write_tensors(Path(file.name), tensors, MARK | {BASE_SUM: _base_sum(model)}, dtype=np.dtype(np.float32))
    config = layers[0].config
    targets = _shortest_targets(model)
    write_json(folder / CONFIG, {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM" if isinstance(model, Decoder) else
                     "SEQ_2_SEQ_LM" if isinstance(model, EncoderDecoder) else None,
        "base_model_name_or_path": base_model,
        "r": config.rank,
        "lora_alpha": config.alpha,
        "lora_dropout": config.dropout,
        "use_rslora": config.use_rslora,
        "use_dora": config.use_dora,
        "target_modules": targets,
        "modules_to_save": sorted({t.name.rpartition(".")[0] for t, _ in whole}) or None,
        "fan_in_fan_out": _is_transposed(model),
        "bias": "none",
        "init_lora_weights": True,
        "inference_mode": True,
    })  # fmt: skip


def load_adapter(model: Model, folder: Path | str, *, is_trainable: bool = False, any_base: bool = False) -> Model:
    """Give a model the adapter that was saved in `folder`, here or by PEFT; returns the model itself.

    is_trainable: may its parameters be trained on? any_base: take it even where it was trained beside other weights of
    the same shapes. UserError where a file is missing or damaged, where the adapter has ways that are not supported, or
    where its tensors are not those that the model and the config ask for; the model is then as it was.
    """
    folder = Path(folder)
    config = read_adapter_config(folder, model)
    if not (folder / WEIGHTS).exists():
        pickle = f", and '{PICKLED}', which is there, is pickled: save it again as safetensors"
        raise UserError(f"'{folder / WEIGHTS}' does not exist" + (pickle if (folder / PICKLED).exists() else ""))
    stored = {name.removeprefix(PREFIX): array for name, array in map_tensors(folder / WEIGHTS).items()}
    stored = {re.sub(r"(lora_magnitude_vector)\.weight$", r"\1", name): array for name, array in stored.items()}
    adapt(model, config)
    try:
        _take(model, folder, stored)
        told = read_metadata(folder / WEIGHTS).get(BASE_SUM)
        if told is not None and told != _base_sum(model) and not any_base:
            raise UserError(
                f"the adapter in '{folder}' was trained beside other weights than those of this {model.architecture}: "
                "name the model that it belongs to"
            )
    except UserError:
        remove_adapter(model)
        raise
    if not is_trainable:
        for parameter in model.parameters():
            parameter.requires_grad = False
    return model


def read_adapter_config(folder: Path | str, model: Model) -> AdapterConfig:
    """What adapter_config.json says, for this model; UserError where that is not supported."""
    path = Path(folder) / CONFIG
    if not path.is_file():
        raise UserError(f"'{path}' does not exist: '{folder}' is no adapter's folder")
    values = read_json(path)
    if values.get("peft_type") != "LORA":
        raise UserError(f"'{path}' is of peft_type {quoted(values.get('peft_type'))}: only LORA is supported")
    for key, unused in UNUSED.items():
        if values.get(key, unused[0]) not in unused:
            raise UserError(f"'{path}' has {key} = {quoted(values[key])}, which is not supported")
    targets = values.get("target_modules")
    if isinstance(targets, str) and targets != ALL_LINEAR:
        targets = _full_matches(path, targets, model)
    whole = values.get("modules_to_save")
    names = [name for name in (targets, whole or []) if isinstance(name, list) and name != []]
    if targets == [] or not all(isinstance(name, str) for group in names for name in group):
        raise UserError(f"'{path}' has target_modules = {quoted(targets)}, which names no layers")
    try:
        return AdapterConfig.checked({
            "rank": values.get("r", 8),
            "alpha": values.get("lora_alpha", 8),
            "dropout": values.get("lora_dropout", 0.0),
            "targets": [targets] if isinstance(targets, str) else targets,
            "use_rslora": values.get("use_rslora", False),
            "use_dora": values.get("use_dora", False),
            "modules_to_save": tuple(_known_modules(model, whole or [])),
        })  # fmt: skip
    except UserError as fault:
        raise UserError(f"'{path}': {fault}") from None


def base_model_of(folder: Path | str) -> str | None:
    """The model that the adapter in a folder says it belongs to; None where it does not say."""
    told = read_json(Path(folder) / CONFIG).get("base_model_name_or_path")
    return told if isinstance(told, str) and told else None


def _take(model: Model, folder: Path, stored: dict[str, Array]) -> None:
    """Fill the adapter's parameters; UserError where the stored tensors are not exactly these."""
    device = model.device
    for parameter in trained_whole(model, next(adapted_layers(model))[1].config).values():
        parameter.data = parameter.data.copy()  # it may be a mapped file's
    wanted = {key: view for _, layer in adapted_layers(model) for key, _, view in layer.stored()}
    wanted |= {hf_tensor.name: view for hf_tensor, view in _whole_tensors(model)}
    base = {hf_tensor.name: view for hf_tensor, view in _base_views(model)}
    mismatches = [Mismatch(name, "is missing") for name in wanted.keys() - stored.keys()]
    for name, array in stored.items():
        if name not in wanted:
            own = base.get(name.removesuffix(BASE_COPY) + ".weight") if name.endswith(BASE_COPY) else None
            if own is None:
                mismatches.append(Mismatch(name, "belongs to no part of the adapter"))
            elif own.shape != array.shape or not np.array_equal(to_numpy(own), array.astype(np.float32)):
                mismatches.append(Mismatch(name, "is not the model's own"))
        elif array.shape != wanted[name].shape:
            mismatches.append(Mismatch(name, f"has shape {array.shape} where {wanted[name].shape} is needed"))
        elif array.dtype not in FLOATS:
            mismatches.append(Mismatch(name, f"holds {array.dtype}, not float32, float16 or bfloat16"))
    if mismatches:
        raise UserError(
            f"the adapter in '{folder}' does not fit a {model.architecture} of these sizes: "
            f"{describe_mismatches(mismatches)}"
        )
    for name, view in wanted.items():
        view[...] = to_device(stored[name].astype(view.dtype), device)


def _base_views(model: Model) -> list[tuple[HFTensor, Array]]:
    """Hugging Face's tensors of the model without its pairs, as views."""
    pairs = dict(pair_parameters(model))
    state = {name: parameter.data for name, parameter in model.named_parameters() if name not in pairs}
    return list(hf_views(state, model.weight_map(model.config)))


def _whole_tensors(model: Model) -> list[tuple[HFTensor, Array]]:
    """Those of parameters that are trained whole: what the config says, and what may be trained beside."""
    pairs, config = dict(pair_parameters(model)), next(adapted_layers(model))[1].config
    whole = trained_whole(model, config).keys() | {
        name for name, parameter in model.named_parameters() if parameter.requires_grad and name not in pairs
    }
    weight_map = model.weight_map(model.config)
    names = {hf_tensor.name for name in whole for hf_tensor in weight_map[name]}
    return [(hf_tensor, view) for hf_tensor, view in _base_views(model) if hf_tensor.name in names]


def _base_sum(model: Model) -> str:
    """The sha256 of the frozen weights, as they are without the pairs."""
    whole = {hf_tensor.name for hf_tensor, _ in _whole_tensors(model)}
    total = sha256()
    for hf_tensor, view in sorted(_base_views(model), key=lambda entry: entry[0].name):
        if hf_tensor.name not in whole:
            total.update(hf_tensor.name.encode())
            total.update(np.ascontiguousarray(to_numpy(view), np.float32).view(np.uint8).data)
    return total.hexdigest()


def _shortest_targets(model: Model) -> list[str]:
    """Names that mean the layers with pairs and no others, in PEFT's way: last words where they do."""
    has: dict[str, bool] = {}
    for _, layer in adapted_layers(model):
        for part in layer.parts:
            has |= dict.fromkeys(part.names, part.has_pair)
    for candidate in candidates(model):
        has |= {name: False for part in candidate.parts for name in part.names}
    leaves: dict[str, bool] = {}
    for name, has_pair in has.items():
        leaf = name.rpartition(".")[2]
        leaves[leaf] = leaves.get(leaf, True) and has_pair
    return sorted(
        {leaf if leaves[leaf := name.rpartition(".")[2]] else name for name, has_pair in has.items() if has_pair}
    )


def _is_transposed(model: Model) -> bool:
    """Does Hugging Face's model hold the weights beside pairs as (in, out)?"""
    weight_map = model.weight_map(model.config)
    return any(t.is_transposed for name, _ in adapted_layers(model) for t in weight_map[f"{name}.weight"])


def _full_matches(path: Path, pattern: str, model: Model) -> list[str]:
    """The names of layers that a regular expression matches whole, as target_modules may be one."""
    try:
        expression = re.compile(pattern)
    except re.error as fault:
        raise UserError(f"'{path}' has target_modules = {quoted(pattern)}: {fault}") from None
    return [n for c in candidates(model) for part in c.parts for n in part.names if expression.fullmatch(n)]


def _known_modules(model: Model, names: list[str]) -> list[str]:
    """Those of the modules that the model has: PEFT writes down both 'classifier' and 'score', whatever there is."""
    tensors = [t.name for hf_tensors in model.weight_map(model.config).values() for t in hf_tensors]
    return [
        name for name in names if name not in ("classifier", "score") or any(t.startswith(f"{name}.") for t in tensors)
    ]
