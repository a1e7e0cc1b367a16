"""What a backward pass keeps in memory: the arrays that an op's closure names."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from types import FunctionType
from typing import Any

import numpy as np

from scratchgrad.backend import Array, array_module


def kept_arrays(backward: Any) -> list[Array]:
    """Every array that `backward` holds on to, once each, however deep in functions and tuples."""
    return [array for _, array in kept_by_name(backward)]


def kept_by_name(backward: Any) -> list[tuple[str, Array]]:
    """The same with the variable of the op's function that holds each; '' for one that no variable holds."""
    found: dict[int, tuple[str, Array]] = {}
    for name, array in _arrays(backward, "", set()):
        found.setdefault(id(array), (name, array))
    return list(found.values())


def owner(array: Array) -> Array:
    """The array whose memory this one looks into: two views of it keep it once."""
    while getattr(array, "base", None) is not None and isinstance(array.base, type(array)):
        array = array.base
    return array


def _arrays(held: Any, name: str, seen: set[int]) -> Iterator[tuple[str, Array]]:
    if id(held) in seen:
        return
    seen.add(id(held))
    if isinstance(held, np.ndarray) or (hasattr(held, "__cuda_array_interface__") and array_module(held) is not np):
        yield name, held
    elif isinstance(held, FunctionType):
        for variable, cell in zip(held.__code__.co_freevars, held.__closure__ or (), strict=True):
            try:
                content = cell.cell_contents
            except ValueError:  # not yet bound
                continue
            yield from _arrays(content, variable, seen)
        yield from _arrays(held.__defaults__ or (), name, seen)
    elif isinstance(held, partial):
        yield from _arrays((held.func, held.args, held.keywords), name, seen)
    elif hasattr(held, "outside"):  # a recomputed block keeps its inputs
        yield from _arrays(held.block, name, seen)
    elif hasattr(held, "node") and hasattr(held, "data"):  # a tensor
        yield from _arrays(held.data, name, seen)
    elif isinstance(held, tuple | list):
        for entry in held:
            yield from _arrays(entry, name, seen)
    elif isinstance(held, dict):
        yield from _arrays(list(held.values()), name, seen)
