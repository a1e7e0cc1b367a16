"""Stored arrays and a model: do they fit, what of its config would explain it if not, and filling it with them."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np

from scratchgrad.errors import UserError
from scratchgrad.models.config import ModelConfig
from scratchgrad.models.model import Model
from scratchgrad.models.weights import Arrays, hf_views

Shape = tuple[int, ...]
FLOATS = {np.dtype(dtype) for dtype in (np.float32, np.float16, ml_dtypes.bfloat16)}
MOST_CHANGES = 3  # of a config that is the stored model's; with more it is that of another one
MOST_SHAPES = 8  # that are looked at for an explanation
MOST_FAULTS = 1000  # that are explained: the models to try have many layers, and these files little in common with them


class Fault(NamedTuple):
    """What is wrong with a stored array. shapes: its own, and what the config asks for, where these differ."""

    name: str
    reason: str
    shapes: tuple[Shape, Shape] | None = None


def fill(model: Model, stored: Mapping[str, np.ndarray[Any, Any]]) -> None:
    """Give the model arrays of its own, float32, filled from stored ones in which `validate_weights` finds no fault.

    Stored arrays may be views of a mapped file: they are cast on their way, and never copied whole.
    """
    stored = _as_a_whole_model(stored, model)
    for parameter in model.parameters():
        parameter.data = np.empty(parameter.shape, np.float32)
    for hf_tensor, view in hf_views(model.state_dict(), model.weight_map(model.config)):
        view[...] = stored[hf_tensor.name]


def validate_weights(model: Model, stored: Mapping[str, np.ndarray[Any, Any]]) -> list[Fault]:
    """All that keeps stored arrays from being the weights of the model, which may be one of `with_shapes_only`."""
    stored = _as_a_whole_model(stored, model)
    shapes = {name: np.broadcast_to(np.float32(0), p.shape) for name, p in model.named_parameters()}
    faults: list[Fault] = []
    meant: set[str] = set()
    copies: list[tuple[str, str]] = []
    for hf_tensor, view in hf_views(shapes, model.weight_map(model.config)):
        meant |= {hf_tensor.name, *hf_tensor.tied_keys}
        array = stored.get(hf_tensor.name)
        if array is None:
            faults.append(Fault(hf_tensor.name, "is missing"))
        elif array.shape != view.shape:
            reason = f"has shape {array.shape} and the config asks for {view.shape}"
            faults.append(Fault(hf_tensor.name, reason, (array.shape, view.shape)))
        elif array.dtype not in FLOATS:
            faults.append(Fault(hf_tensor.name, f"holds {array.dtype}, not float32, float16 or bfloat16"))
        copies += [(copy, hf_tensor.name) for copy in hf_tensor.tied_keys if copy in stored]
    ignored = [re.compile(pattern) for pattern in model.keys_to_ignore_on_load]
    for name in stored.keys() - meant:
        if not any(pattern.fullmatch(name) for pattern in ignored):
            faults.append(Fault(name, "belongs to no part of the model"))
    return faults or [  # to compare copies is to read them: only where all else fits
        Fault(copy, f"is not the same as '{name}', to which the config ties it")
        for copy, name in copies
        if not _is_copy(stored[copy], stored[name])
    ]


def _as_a_whole_model(stored: Mapping[str, Any], model: Model) -> Mapping[str, Any]:
    """By today's names of a model with its head; where the bare model was saved, no name has the prefix."""
    for old, new in model.older_names.items():
        new_names = {name: name.replace(old, new) for name in stored}
        stored = {name if new_names[name] in stored else new_names[name]: array for name, array in stored.items()}
    hf_tensors = [hf_tensor for part in model.weight_map(model.config).values() for hf_tensor in part]
    meant = {name for hf_tensor in hf_tensors for name in (hf_tensor.name, *hf_tensor.tied_keys)}
    prefix = model.base_model_prefix
    has_prefix = any(name.startswith(prefix) for name in meant & stored.keys())
    if has_prefix or not any(prefix + name in meant for name in stored):
        return stored
    return {name if name in meant else prefix + name: array for name, array in stored.items()}


def _is_copy(a: np.ndarray[Any, Any], b: np.ndarray[Any, Any]) -> bool:
    """Bit for bit, some rows at a time: without a temporary of their size."""
    return (a.dtype, a.shape) == (b.dtype, b.shape) and all(
        a[start : start + 1024].tobytes() == b[start : start + 1024].tobytes() for start in range(0, len(a), 1024)
    )


def describe(faults: Iterable[Fault]) -> str:
    """A clause for each fault; what is wrong with several layers alike is one: 'h.2-11.ln_1.weight' is missing."""
    layers: dict[tuple[str, str, str], list[int]] = defaultdict(list)
    clauses = []
    for name, reason, _ in faults:
        if (numbered := re.fullmatch(r"(.*?\.)(\d+)(\..*)", name)) is not None:
            layers[numbered[1], numbered[3], reason].append(int(numbered[2]))
        else:
            clauses.append(f"'{name}' {reason}")
    clauses += [f"'{before}{_spans(found)}{after}' {reason}" for (before, after, reason), found in layers.items()]
    return "; ".join(sorted(clauses))


def _spans(numbers: list[int]) -> str:
    """[5, 0, 1, 2] as 0-2,5."""
    spans: list[list[int]] = []
    for number in sorted(numbers):
        if spans and number == spans[-1][1] + 1:
            spans[-1][1] = number
        else:
            spans.append([number, number])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in spans)


def what_would_fit(model: Model, stored: Arrays, faults: list[Fault]) -> dict[str, Any]:
    """Other values for keys of the model's config with which all of `stored` would fit; empty where few do not help.

    Each round changes the one key that leaves the fewest faults.
    """
    family, config = type(model), model.config
    changes: dict[str, Any] = {}
    for _ in range(MOST_CHANGES if len(faults) <= MOST_FAULTS else 0):
        tried = []
        for name, value in _candidates(config, stored, faults):
            try:
                other = config.checked({**config.model_dump(exclude_none=True), name: value})
            except UserError:
                continue
            left = validate_weights(family.with_shapes_only(other), stored)
            tried.append((len(left), name, value, other, left))
        if not tried or (best := min(tried, key=lambda trial: trial[0]))[0] >= len(faults):
            return {}
        _, name, value, config, faults = best
        changes[name] = value
        if not faults:
            return changes
    return {}


def _candidates(config: ModelConfig, stored: Arrays, faults: list[Fault]) -> Iterator[tuple[str, Any]]:
    """Switches the other way round; sizes in the proportion of a stored to a wanted one; the number of layers seen."""
    shapes = sorted({fault.shapes for fault in faults if fault.shapes is not None})[:MOST_SHAPES]
    pairs = {pair for have, want in shapes for pair in zip(have, want, strict=False)}
    indices = [int(number) for name in stored for number in re.findall(r"\.(\d+)\.", name)]
    for name, value in config.model_dump().items():
        if isinstance(value, bool):
            yield name, not value
        elif isinstance(value, int):
            sizes = {value * have // want for have, want in pairs if value * have % want == 0}
            yield from ((name, size) for size in sorted({*sizes, 1 + max(indices, default=0)}) if size != value)
