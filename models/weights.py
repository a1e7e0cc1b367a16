"""Weights in Hugging Face's names: our parameters hold the rows of one or several of their tensors."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

Arrays = dict[str, np.ndarray[Any, Any]]


class Piece(NamedTuple):
    """One of their tensors, and how many rows of one of our parameters it fills."""

    name: str
    rows: int
    is_transposed: bool = False  # theirs stores (inputs, outputs) where ours has (outputs, inputs)
    copies: tuple[str, ...] = ()  # names under which a file may hold the same tensor again, as a tied output layer


WeightMap = dict[str, list[Piece]]  # our parameter -> the tensors whose rows stand in it, one below the other


def to_hugging_face(state: Mapping[str, np.ndarray[Any, Any]], weight_map: WeightMap) -> Arrays:
    """Their tensors, as views of our arrays."""
    return {piece.name: rows for piece, rows in rows_of(state, weight_map)}


def rows_of(state: Mapping[str, Any], weight_map: WeightMap) -> Iterator[tuple[Piece, Any]]:
    """Each piece with its rows of our arrays, turned as theirs stores them."""
    for ours, pieces in weight_map.items():
        array, start = _as_rows(state[ours], pieces), 0
        for piece in pieces:
            rows = array[start : start + piece.rows]
            yield piece, rows.T if piece.is_transposed else rows
            start += piece.rows


def _as_rows(array: Any, pieces: list[Piece]) -> Any:
    """A view of one of our arrays as the rows that the pieces name: of a stack of matrices, one below the other."""
    rows = sum(piece.rows for piece in pieces)
    leading = next(n for n in range(1, array.ndim + 1) if math.prod(array.shape[:n]) == rows)
    return array.reshape(rows, *array.shape[leading:])
