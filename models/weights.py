"""Weights by Hugging Face's names: a parameter of ours holds the rows of one or several tensors of theirs."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import accumulate
from operator import mul
from typing import Any, NamedTuple

import numpy as np

from scratchgrad.errors import UserError, quoted

Arrays = dict[str, np.ndarray[Any, Any]]


class HFTensor(NamedTuple):
    """A tensor in Hugging Face's files, and how many rows it fills of the parameter that holds it."""

    name: str
    rows: int
    is_transposed: bool = False  # stored as (in_features, out_features), where a Linear has (out_features, in_features)
    tied_keys: tuple[str, ...] = ()  # names under which a file may hold the same tensor again, as a tied output layer


WeightMap = dict[str, list[HFTensor]]  # parameter -> the tensors whose rows stand in it, one below the other


def to_hugging_face(state: Mapping[str, np.ndarray[Any, Any]], weight_map: WeightMap) -> Arrays:
    """Hugging Face's tensors by name, as views of the arrays in `state`, a model's state_dict()."""
    return {hf_tensor.name: view for hf_tensor, view in hf_views(state, weight_map)}


def hf_views(state: Mapping[str, Any], weight_map: WeightMap) -> Iterator[tuple[HFTensor, Any]]:
    """Each tensor of Hugging Face's with the view of our array that it is, in the shape that it is stored with.

    UserError where the map does not tell of every array of `state`, and of all its rows, once.
    """
    _check_complete(state, weight_map)
    for name, hf_tensors in weight_map.items():
        array, start = _as_rows(state[name], hf_tensors), 0
        for hf_tensor in hf_tensors:
            rows = array[start : start + hf_tensor.rows]
            yield hf_tensor, rows.T if hf_tensor.is_transposed else rows
            start += hf_tensor.rows


def _as_rows(array: Any, hf_tensors: list[HFTensor]) -> Any:
    """A view of the array with as many rows as the tensors have: a stack of matrices becomes one below the other."""
    rows = sum(hf_tensor.rows for hf_tensor in hf_tensors)
    leading = next(n for n in range(1, array.ndim + 1) if math.prod(array.shape[:n]) == rows)
    return array.reshape(rows, *array.shape[leading:])


def _check_complete(state: Mapping[str, Any], weight_map: WeightMap) -> None:
    """What the map left out would not be saved, and would come back as memory that nobody has written to."""
    unnamed = [f"{quoted(name)} is not in it" for name in state if name not in weight_map]
    unknown = [f"{quoted(name)} is no parameter" for name in weight_map if name not in state]
    counts = Counter(hf_tensor.name for hf_tensors in weight_map.values() for hf_tensor in hf_tensors)
    twice = [f"{quoted(name)} stands there {count} times" for name, count in counts.items() if count > 1]
    other = [
        f"it gives {quoted(name)} {rows} rows, and its shape is {state[name].shape}"
        for name, hf_tensors in weight_map.items()
        if name in state
        and (rows := sum(hf_tensor.rows for hf_tensor in hf_tensors)) not in accumulate(state[name].shape, mul)
    ]
    faults = [*unnamed, *unknown, *twice, *other]
    if faults:
        more = f"; and {len(faults) - 3} more" if len(faults) > 3 else ""
        raise UserError(f"the model's weight_map must name every parameter once: {'; '.join(faults[:3])}{more}")
