"""Weights in Hugging Face's names: our parameters hold the rows of one or several of their tensors."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from safetensors import SafetensorError, safe_open

from scratchgrad.errors import UserError


class Piece(NamedTuple):
    """One of their tensors, and how many rows of one of our parameters it fills."""

    name: str
    rows: int
    is_transposed: bool = False  # theirs stores (inputs, outputs) where ours has (outputs, inputs)


WeightMap = dict[str, list[Piece]]  # our parameter -> the tensors whose rows stand in it, one below the other
Arrays = dict[str, np.ndarray[Any, Any]]


def to_hugging_face(state: Mapping[str, np.ndarray[Any, Any]], weight_map: WeightMap) -> Arrays:
    """Their tensors, as views of our arrays."""
    tensors: Arrays = {}
    for ours, pieces in weight_map.items():
        array, start = _as_rows(state[ours], pieces), 0
        for piece in pieces:
            rows = array[start : start + piece.rows]
            tensors[piece.name] = rows.T if piece.is_transposed else rows
            start += piece.rows
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
                state[ours] = np.empty(shapes[ours], np.float32)
                rows, start = _as_rows(state[ours], pieces), 0
                for piece in pieces:
                    tensor = stored.get_tensor(piece.name)
                    rows[start : start + piece.rows] = tensor.T if piece.is_transposed else tensor
                    start += piece.rows
            return state
    except SafetensorError as error:
        raise UserError(f"'{file}' is not a whole safetensors file: {error}") from None
    except FileNotFoundError:
        raise UserError(f"'{file}' does not exist: a model directory holds its weights under that name") from None


def _as_rows(array: np.ndarray[Any, Any], pieces: list[Piece]) -> np.ndarray[Any, Any]:
    """A view of one of our arrays as the rows that the pieces name: of a stack of matrices, one below the other."""
    return array.reshape(_shape_as_rows(array.shape, pieces))


def _shape_as_rows(shape: tuple[int, ...], pieces: list[Piece]) -> tuple[int, ...]:
    rows = sum(piece.rows for piece in pieces)
    leading = next(n for n in range(1, len(shape) + 1) if math.prod(shape[:n]) == rows)
    return (rows, *shape[leading:])


def _check(
    file: Path,
    stored: Mapping[str, tuple[int, ...]],
    shapes: Mapping[str, tuple[int, ...]],
    weight_map: WeightMap,
) -> None:
    needed = {}
    for ours, pieces in weight_map.items():
        for piece in pieces:
            shape = (piece.rows, *_shape_as_rows(shapes[ours], pieces)[1:])
            needed[piece.name] = shape[::-1] if piece.is_transposed else shape
    faults = [f"'{name}' is missing" for name in needed.keys() - stored.keys()]
    faults += [f"'{name}' belongs to no part of the model" for name in stored.keys() - needed.keys()]
    faults += [
        f"'{name}' has shape {stored[name]} and the config asks for {needed[name]}"
        for name in needed.keys() & stored.keys()
        if stored[name] != needed[name]
    ]
    if faults:
        raise UserError(f"'{file}' does not fit its config.json: " + "; ".join(sorted(faults)))
