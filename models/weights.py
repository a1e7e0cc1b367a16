"""Weights in Hugging Face's names: our parameters hold the rows of one or several of their tensors."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open

from scratchgrad.errors import UserError

WeightMap = dict[str, list[tuple[str, int]]]  # our name -> [(their name, how many rows of ours it fills), ...]
Arrays = dict[str, np.ndarray[Any, Any]]


def to_hugging_face(state: Mapping[str, np.ndarray[Any, Any]], weight_map: WeightMap) -> Arrays:
    """Their tensors, as views of our arrays."""
    tensors: Arrays = {}
    for ours, pieces in weight_map.items():
        start = 0
        for theirs, rows in pieces:
            tensors[theirs] = state[ours][start : start + rows]
            start += rows
    return tensors


def read_hugging_face(file: Path, shapes: Mapping[str, tuple[int, ...]], weight_map: WeightMap) -> Arrays:
    """Our float32 arrays of these shapes, filled tensor by tensor from a safetensors file.

    UserError: a damaged file, or the list of all tensors that are missing, too many, or of another shape.
    """
    try:
        with safe_open(file, framework="numpy") as stored:
            names = stored.keys()  # safe_open is no dict: it has no other way to tell
            _check(file, {name: tuple(stored.get_slice(name).get_shape()) for name in names}, shapes, weight_map)
            state: Arrays = {}
            for ours, pieces in weight_map.items():
                state[ours], start = np.empty(shapes[ours], np.float32), 0
                for theirs, rows in pieces:
                    state[ours][start : start + rows] = stored.get_tensor(theirs)
                    start += rows
            return state
    except SafetensorError as error:
        raise UserError(f"'{file}' is not a whole safetensors file: {error}") from None
    except FileNotFoundError:
        raise UserError(f"'{file}' does not exist: a model directory holds its weights under that name") from None


def _check(
    file: Path,
    stored: Mapping[str, tuple[int, ...]],
    shapes: Mapping[str, tuple[int, ...]],
    weight_map: WeightMap,
) -> None:
    needed = {theirs: (rows, *shapes[ours][1:]) for ours, pieces in weight_map.items() for theirs, rows in pieces}
    faults = [f"'{name}' is missing" for name in needed.keys() - stored.keys()]
    faults += [f"'{name}' belongs to no part of the model" for name in stored.keys() - needed.keys()]
    faults += [
        f"'{name}' has shape {stored[name]} and the config asks for {needed[name]}"
        for name in needed.keys() & stored.keys()
        if stored[name] != needed[name]
    ]
    if faults:
        raise UserError(f"'{file}' does not fit its config.json: " + "; ".join(sorted(faults)))
