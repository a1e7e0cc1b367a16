"""Weights by Hugging Face's names: a parameter of ours holds the rows of one or several tensors of theirs."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

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
    """Each tensor of Hugging Face's with the view of our array that it is, in the shape that it is stored with."""
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
