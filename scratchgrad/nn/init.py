"""Initial weights: a parameter remembers how it begins, and in a model it is drawn by its name.

A model is built with shapes alone; `Module.reset_parameters` then draws each parameter as a function of the seed, its
full name and where an element stands in the whole of it. So a process that builds some layers of a model, or holds a
slice of a parameter, has the numbers that one process would have, and draws no others. Models whose parameters have the
same names begin alike from the same seed.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from scratchgrad.contexts import context
from scratchgrad.random import even, normal

Floats = np.ndarray[Any, np.dtype[np.float32]]
Std = float | tuple[tuple[int, float], ...]  # of all elements; or of so many rows each, from the first row to the last


class Initializer(Protocol):
    """How a parameter begins."""

    def draw(
        self,
        shape: tuple[int, ...],
        *,
        name: str | None = None,
        global_shape: tuple[int, ...] | None = None,
        offset: tuple[int, ...] | None = None,
    ) -> Floats:
        """float32 on the CPU, by the parameter's name; without one, by where the program stands.

        They are the slice from `offset` on, in each axis, of a parameter of `global_shape`. ValueError where a slice of
        this shape does not lie there.
        """


@dataclass(frozen=True)
class Constant:
    """All elements alike."""

    value: float

    def draw(
        self,
        shape: tuple[int, ...],
        *,
        name: str | None = None,
        global_shape: tuple[int, ...] | None = None,
        offset: tuple[int, ...] | None = None,
    ) -> Floats:
        return np.full(shape, self.value, np.float32)


@dataclass(frozen=True)
class Normal:
    """The normal distribution with mean 0. std: one number, or ((rows, std), (rows, std), ...) for blocks of rows."""

    std: Std

    def draw(
        self,
        shape: tuple[int, ...],
        *,
        name: str | None = None,
        global_shape: tuple[int, ...] | None = None,
        offset: tuple[int, ...] | None = None,
    ) -> Floats:
        drawn = normal(shape, name=name, global_shape=global_shape, offset=offset)
        if not isinstance(self.std, tuple):
            drawn *= np.float32(self.std)
            return drawn
        rows, stds = zip(*self.std, strict=True)
        whole = (shape if global_shape is None else global_shape)[0]
        if sum(rows) != whole:
            raise ValueError(f"Normal(std={self.std}) is for {sum(rows)} rows, and the parameter has {whole}")
        first = 0 if offset is None else offset[0]
        by_row = np.repeat(np.asarray(stds, np.float32), rows)[first : first + shape[0]]
        drawn *= by_row.reshape(-1, *(1,) * (len(shape) - 1))
        return drawn


@dataclass(frozen=True)
class Uniform:
    """Evenly between -bound and bound."""

    bound: float

    def draw(
        self,
        shape: tuple[int, ...],
        *,
        name: str | None = None,
        global_shape: tuple[int, ...] | None = None,
        offset: tuple[int, ...] | None = None,
    ) -> Floats:
        drawn = even(shape, name=name, global_shape=global_shape, offset=offset)
        drawn *= np.float32(2 * self.bound)
        drawn -= np.float32(self.bound)
        return drawn


class _Thread(threading.local):
    shapes_only = False


_here = _Thread()


@context
def shapes_only() -> Iterator[None]:
    """Inside, `Parameter.initialized` gives shapes without memory: read-only, the same zero everywhere.

    For a model whose weights are drawn by name or come from a file: its shapes are known before anything is allocated.
    """
    before, _here.shapes_only = _here.shapes_only, True
    try:
        yield
    finally:
        _here.shapes_only = before


def initial_values(shape: tuple[int, ...], initializer: Initializer, name: str | None = None) -> Floats:
    """What the initializer draws, for a parameter of this name; under `shapes_only` the shape alone."""
    return np.broadcast_to(np.float32(0), shape) if _here.shapes_only else initializer.draw(shape, name=name)
