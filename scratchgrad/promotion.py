"""Which dtype an op computes in, and which its result has (docs/dtypes.md has the table).

A float stays what it is: float32 beside an int64 tensor, a NumPy scalar or a Python number is float32. Half precisions
are ways to store numbers: an op that computes is given them as float32, and its result is rounded once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache, partial
from typing import Any, Literal, NamedTuple

import numpy as np

from scratchgrad.autograd import Backward
from scratchgrad.backend import HALVES, Array

FLOAT32: np.dtype[Any] = np.dtype(np.float32)
Takes = Literal["numbers", "floats", "elements"]  # what an op does with arrays: compute, compute with floats, move
PYTHON_NUMBERS = frozenset({int, float, bool, type(None)})  # they take the dtype of what they stand beside


@cache
def is_floating(dtype: Any) -> bool:
    """Is it one of float16, bfloat16, float32, float64?"""
    return dtype.kind == "f" or dtype in HALVES


@cache
def widest(*dtypes: Any) -> np.dtype[Any]:
    """The smallest float that holds all of them; float16 and bfloat16 meet in float32."""
    if len(set(dtypes)) > 1 and set(dtypes) <= set(HALVES):
        return FLOAT32
    return max(dtypes, key=lambda dtype: dtype.itemsize)


class Promotion(NamedTuple):
    """The dtype that an op computes in, and that of its result if this is a float."""

    inside: np.dtype[Any]
    result: np.dtype[Any]

    def undone(
        self, value: Array, backward: Backward | None, options: Mapping[str, Any]
    ) -> tuple[Array, Backward | None]:
        """The value as the caller gets it, and the backward for gradients of its dtype. A dtype among the options is
        one that the user named.
        """
        if value.dtype != self.result and is_floating(value.dtype) and "dtype" not in options:
            value = value.astype(self.result)
        if backward is None or self.inside is self.result:
            return value, backward
        return value, partial(_widened, backward, self.inside)


def _widened(backward: Backward, inside: np.dtype[Any], grad: Array) -> Any:
    return backward(grad.astype(inside))


def promoted(arguments: Sequence[Any], values: Sequence[Any], takes: Takes) -> tuple[list[Any], Promotion]:
    """(the values as an op is given them, what becomes of its result).

    Tensors and arrays with axes decide; if none is a float, those without; and if none is, NumPy's scalars do where
    there is nothing else, and it is float32 otherwise. arguments: the values as the op was called with them.
    """
    by_rank: list[list[Any]] = [[], [], []]
    seen = 3  # the first rank of which there is something
    for argument, value in zip(arguments, values, strict=True):
        dtype = getattr(value, "dtype", None)
        if dtype is not None:
            rank = 0 if value.ndim else 1 if argument is not value else 2  # an array of a tensor is not the tensor
            seen = min(seen, rank)
            if is_floating(dtype):
                by_rank[rank].append(dtype)
    deciding = by_rank[0] or by_rank[1] or (by_rank[2] if seen == 2 else [])
    result = widest(*deciding) if deciding else FLOAT32
    inside = FLOAT32 if takes != "elements" and result in HALVES else result
    given = [
        value.astype(inside)
        if hasattr(value, "dtype") and is_floating(value.dtype) and value.dtype != inside
        else value
        for value in values
    ]
    if takes == "floats" and getattr(given[0], "dtype", FLOAT32).kind in "iub":
        given[0] = given[0].astype(inside)
    return given, Promotion(inside, result)
