"""Stored arrays as the weights of a model: validated, explained by its config where they do not fit, and loaded."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from itertools import zip_longest
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np

from scratchgrad.errors import UserError, shortened
from scratchgrad.models.config import ModelConfig
from scratchgrad.models.model import Model
from scratchgrad.models.weights import Arrays, hf_views

Shape = tuple[int, ...]
FLOATS = {np.dtype(dtype) for dtype in (np.float32, np.float16, ml_dtypes.bfloat16)}
MAX_CHANGES = 3  # of a config that is the stored model's; with more it is that of another one
MAX_SHAPES = 8  # that are looked at for an explanation
MAX_CLAUSES = 3  # that a message tells
MAX_MISMATCHES = 1000  # that are explained: with more of them the files have little in common with any model to try


class Mismatch(NamedTuple):
    """What is wrong with a stored array. shapes: its own, and what the config asks for, where these differ."""

    name: str
    reason: str
    shapes: tuple[Shape, Shape] | None = None


def load_weights(model: Model, stored: Mapping[str, np.ndarray[Any, Any]]) -> None:
    """Give the model arrays of its own, float32, filled from stored ones in which `validate_weights` finds no mismatch.

    Stored arrays may be views of a mapped file: they are cast on their way, and never copied whole.
    """
    stored = _by_current_names(stored, model)
    for parameter in model.parameters():
        parameter.data = np.empty(parameter.shape, np.float32)
    for hf_tensor, view in hf_views(model.state_dict(), model.weight_map(model.config)):
        view[...] = stored[hf_tensor.name]


def validate_weights(model: Model, stored: Mapping[str, np.ndarray[Any, Any]]) -> list[Mismatch]:
    """All that keeps stored arrays from being the weights of the model, which may be one of `with_shapes_only`."""
    stored = _by_current_names(stored, model)
    shapes = {name: np.broadcast_to(np.float32(0), p.shape) for name, p in model.named_parameters()}
    mismatches: list[Mismatch] = []
    expected: set[str] = set()
    copies: list[tuple[str, str]] = []
    for hf_tensor, view in hf_views(shapes, model.weight_map(model.config)):
        expected |= {hf_tensor.name, *hf_tensor.tied_keys}
        array = stored.get(hf_tensor.name)
        if array is None:
            mismatches.append(Mismatch(hf_tensor.name, "is missing"))
        elif array.shape != view.shape:
            reason = f"has shape {array.shape} and the config asks for {view.shape}"
            mismatches.append(Mismatch(hf_tensor.name, reason, (array.shape, view.shape)))
        elif array.dtype not in FLOATS:
            mismatches.append(Mismatch(hf_tensor.name, f"holds {array.dtype}, not float32, float16 or bfloat16"))
        copies += [(copy, hf_tensor.name) for copy in hf_tensor.tied_keys if copy in stored]
    ignored = [re.compile(pattern) for pattern in model.keys_to_ignore_on_load]
    for name in stored.keys() - expected:
        if not any(pattern.fullmatch(name) for pattern in ignored):
            mismatches.append(Mismatch(name, "belongs to no part of the model"))
    return mismatches or [  # to compare copies is to read them: only where all else fits
        Mismatch(copy, f"is not the same as '{name}', to which the config ties it")
        for copy, name in copies
        if not _is_copy(stored[copy], stored[name])
    ]


def _by_current_names(stored: Mapping[str, Any], model: Model) -> Mapping[str, Any]:
    """By today's names of a model with its head; where the bare model was saved, no name has the prefix."""
    for old, new in model.older_names.items():
        new_names = {name: name.replace(old, new) for name in stored}
        stored = {name if new_names[name] in stored else new_names[name]: array for name, array in stored.items()}
    hf_tensors = [hf_tensor for part in model.weight_map(model.config).values() for hf_tensor in part]
    expected = {name for hf_tensor in hf_tensors for name in (hf_tensor.name, *hf_tensor.tied_keys)}
    prefix = model.base_model_prefix
    has_prefix = any(name.startswith(prefix) for name in expected & stored.keys())
    if has_prefix or not any(prefix + name in expected for name in stored):
        return stored
    return {name if name in expected else prefix + name: array for name, array in stored.items()}


def _is_copy(a: np.ndarray[Any, Any], b: np.ndarray[Any, Any]) -> bool:
    """Bit for bit, some rows at a time: without a temporary of their size."""
    return (a.dtype, a.shape) == (b.dtype, b.shape) and all(
        a[start : start + 1024].tobytes() == b[start : start + 1024].tobytes() for start in range(0, len(a), 1024)
    )


def describe_mismatches(mismatches: Iterable[Mismatch]) -> str:
    """A clause for each mismatch; what is wrong with several layers alike is one: 'h.2-11.ln_1.weight' is missing."""
    layers: dict[tuple[str, str, str], list[int]] = defaultdict(list)
    clauses = []
    for name, reason, _ in mismatches:
        if (numbered := re.fullmatch(r"(.*?\.)(\d+)(\..*)", name)) is not None:
            layers[numbered[1], numbered[3], reason].append(int(numbered[2]))
        else:
            clauses.append(f"'{shortened(name, 80)}' {reason}")
    clauses += [f"'{before}{_ranges(found)}{after}' {reason}" for (before, after, reason), found in layers.items()]
    by_kind: dict[str, list[str]] = defaultdict(list)
    for clause in sorted(clauses):
        by_kind[clause.split("' ")[1].split(" ")[0]].append(clause)
    clauses = [clause for of_each in zip_longest(*by_kind.values()) for clause in of_each if clause]  # each kind first
    more = [f"and {len(clauses) - MAX_CLAUSES} more"] * (len(clauses) > MAX_CLAUSES)
    return "; ".join([*clauses[:MAX_CLAUSES], *more])


def _ranges(numbers: list[int]) -> str:
    """[5, 0, 1, 2] as 0-2,5."""
    ranges: list[list[int]] = []
    for number in sorted(numbers):
        if ranges and number == ranges[-1][1] + 1:
            ranges[-1][1] = number
        else:
            ranges.append([number, number])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in ranges)


def suggest_config_changes(model: Model, stored: Arrays, mismatches: list[Mismatch]) -> dict[str, Any]:
    """Other values for keys of the model's config with which all of `stored` would fit; empty where few do not help.

    Each round changes the one key that leaves the fewest mismatches.
    """
    family, config = type(model), model.config
    changes: dict[str, Any] = {}
    for _ in range(MAX_CHANGES if len(mismatches) <= MAX_MISMATCHES else 0):
        tried = []
        for name, value in _candidates(config, stored, mismatches):
            try:
                other = config.checked({**config.model_dump(exclude_none=True), name: value})
            except UserError:
                continue
            left = validate_weights(family.with_shapes_only(other), stored)
            tried.append((len(left), name, value, other, left))
        if not tried or (best := min(tried, key=lambda trial: trial[0]))[0] >= len(mismatches):
            return {}
        _, name, value, config, mismatches = best
        changes[name] = value
        if not mismatches:
            return changes
    return {}


def _candidates(config: ModelConfig, stored: Arrays, mismatches: list[Mismatch]) -> Iterator[tuple[str, Any]]:
    """Switches the other way round; sizes in the proportion of a stored to a wanted one; the number of layers seen."""
    shapes = sorted({mismatch.shapes for mismatch in mismatches if mismatch.shapes is not None})[:MAX_SHAPES]
    pairs = {pair for have, want in shapes for pair in zip(have, want, strict=False)}
    indices = [int(number) for name in stored for number in re.findall(r"\.(\d+)\.", name)]
    for name, value in config.model_dump().items():
        if isinstance(value, bool):
            yield name, not value
        elif isinstance(value, int):
            sizes = {value * have // want for have, want in pairs if value * have % want == 0}
            yield from ((name, size) for size in sorted({*sizes, 1 + max(indices, default=0)}) if size != value)
