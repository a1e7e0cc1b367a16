"""What there is to say of a node beside its place: the op's rule, and the values of the forward pass that are known.

A node holds no values. Those of leaves, of the caller's variables and of what closures keep are known in any case;
those of every op where the forward pass was watched, as `play_backward` does when it is given a function.
"""

from __future__ import annotations

import inspect
import math
import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np

from scratchgrad.autograd import WATCH, Backward, Node, Watch
from scratchgrad.backend import Array, to_numpy
from scratchgrad.checkpointed_block import CheckpointedBlock
from scratchgrad.closures import kept_by_name
from scratchgrad.dispatch import SPECIFICATIONS
from scratchgrad.drawing.record import Variables, shape_text

MOST_ROWS, MOST_COLUMNS = 12, 16  # of a matrix; of a larger one the first and last are shown
MANY_COLUMNS = 6  # beyond, a number has three digits and not four


class ForwardWatch:
    """Keeps what ops were given and what they made, by node, and hands on to whoever watches already."""

    def __init__(self, outer: Watch | None) -> None:
        self.values: dict[Node, Array] = {}
        self.arguments: dict[Node, list[Any]] = {}
        self._outer = outer

    def __enter__(self) -> ForwardWatch:
        self._token = WATCH.set(self)
        return self

    def __exit__(self, *error: object) -> None:
        WATCH.reset(self._token)

    def made(
        self, node: Node | None, name: str, values: Sequence[Any], value: Array, backward: Backward | None
    ) -> None:
        if node is not None:
            self.values[node], self.arguments[node] = value, list(values)
        if self._outer is not None:
            self._outer.made(node, name, values, value, backward)

    def before(self, node: Node) -> None:
        if self._outer is not None:
            self._outer.before(node)

    def after(self, node: Node, gradient: Array, position: int, piece: Array) -> None:
        if self._outer is not None:
            self._outer.after(node, gradient, position, piece)


def rule_of(node: Node) -> str:
    """The source of the op, its value beside its backward; '' where there is none to read."""
    if node.name not in SPECIFICATIONS:
        return ""
    try:
        return textwrap.dedent(inspect.getsource(SPECIFICATIONS[node.name])).strip()
    except (OSError, TypeError):  # typed into an interpreter
        return ""


def kernel_of(node: Node) -> str:
    """The module of the kernel that computes the op here, '' where it is the op itself."""
    module = getattr(node.backward, "__module__", None) or ""
    return module if ".kernels." in module else ""


def argument_names(op: str, count: int) -> list[str]:
    """Of the arrays of an op, which was given `count`: ['x', 'weight', 'bias']."""
    names: list[str] = []
    if op in SPECIFICATIONS:
        parameters = inspect.signature(SPECIFICATIONS[op]).parameters.values()
        names = [p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]
    return [*names, *(f"[{i}]" for i in range(len(names), count))][:count]


def kept_by(node: Node) -> list[tuple[str, Array]]:
    """The arrays that the op's closure keeps for its backward, with the variables that hold them."""
    return [] if isinstance(node.backward, CheckpointedBlock) else kept_by_name(node.backward)


def known_values(nodes: Sequence[Node], variables: Variables) -> dict[Node, Array]:
    """Of the nodes: what leaves and variables hold, and what a reader's closure keeps by the name of its argument."""
    found = {node: tensor.data for node, (_, tensor) in variables.items()}
    for node in nodes:
        tensor = node.leaf() if node.leaf is not None else None
        if tensor is not None:
            found[node] = tensor.data
    for node in nodes:
        kept = dict(kept_by(node))
        for name, input_node in zip(argument_names(node.name, len(node.inputs)), node.inputs, strict=True):
            array = kept.get(name)
            if input_node is not None and array is not None and array.shape == input_node.shape:
                found.setdefault(input_node, array)
    return found


def shown(array: Any) -> dict[str, Any]:
    """An array for the page: shape, dtype, norm, and rows with their labels. None stands for what is left out.

    Of more than two axes, those before the last are the label of a row.
    """
    values = to_numpy(array)
    numbers = values.astype(np.float64) if values.dtype.kind not in "c" else np.abs(values)
    table = numbers.reshape(math.prod(numbers.shape[:-1]), -1) if numbers.size else numbers.reshape(0, 0)
    rows, columns = _some(table.shape[0], MOST_ROWS), _some(table.shape[1], MOST_COLUMNS)
    digits = 4 if len(columns) <= MANY_COLUMNS else 3
    with np.errstate(all="ignore"):
        norm, peak = float(np.linalg.norm(numbers)), float(np.max(np.abs(numbers), initial=0.0))
    return {
        "shape": shape_text(values.shape),
        "dtype": str(values.dtype),
        "norm": f"{norm:.4g}",
        "peak": peak if math.isfinite(peak) else None,
        "columns": columns,
        "rows": [
            {
                "at": "…" if row is None else ", ".join(map(str, np.unravel_index(row, numbers.shape[:-1] or (1,)))),
                "cells": [
                    None if row is None or column is None else f"{table[row, column]:.{digits}g}" for column in columns
                ],
            }
            for row in rows
        ],
    }


def _some(count: int, most: int) -> list[int | None]:
    """All of 0..count-1, or the first and last with None between."""
    if count <= most:
        return list(range(count))
    last = most // 4
    return [*range(most - last - 1), None, *range(count - last, count)]
