"""Which op made the first NaN, and who changed an array that a backward pass was going to read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any
from zlib import crc32

from scratchgrad.autograd import WATCH, Backward, Node
from scratchgrad.backend import Array, array_module, to_numpy
from scratchgrad.callers import users_line
from scratchgrad.closures import kept_arrays
from scratchgrad.contexts import context


class AnomalyError(RuntimeError):
    """A NaN, or an array that was changed between forward and backward."""


@context
def detect_anomaly() -> Iterator[None]:
    """Inside, every op and every gradient is looked at; AnomalyError names the op and the user's line that called it.

    Found are: the first NaN of the forward pass (made by the op, or handed in), the first NaN of the backward pass, and
    an array that a closure keeps and that somebody changed in place. Slow: every kept array is summed up twice.
    """
    before = WATCH.get()
    WATCH.set(_Watch())
    try:
        yield
    finally:
        WATCH.set(before)


class _Watch:
    def __init__(self) -> None:
        self._lines: dict[Node, str] = {}
        self._sums: dict[Node, list[tuple[Array, int]]] = {}

    def made(
        self, node: Node | None, name: str, values: Sequence[Any], value: Array, backward: Backward | None
    ) -> None:
        line = users_line()
        if _has_nan(value):
            handed = [str(i) for i, v in enumerate(values) if hasattr(v, "dtype") and _has_nan(v)]
            problem = f"was handed NaN in argument {', '.join(handed)}" if handed else "made the first NaN"
            raise AnomalyError(f"'{name}' {problem}; its result has shape {value.shape} [{line}]")
        if node is not None:
            self._lines[node] = line
            self._sums[node] = [(array, _checksum(array)) for array in kept_arrays(backward)]

    def before(self, node: Node) -> None:
        for array, checksum in self._sums.pop(node, ()):
            if _checksum(array) != checksum:
                raise AnomalyError(
                    f"an array of shape {array.shape} that '{node.name}' keeps for its backward was changed in place "
                    f"since the forward pass; give it a copy [{self._lines[node]}]"
                )

    def after(self, node: Node, gradient: Array, position: int, piece: Array) -> None:
        if _has_nan(piece) and not _has_nan(gradient):
            where = self._lines.get(node, "recorded before detect_anomaly()")
            raise AnomalyError(
                f"the backward of '{node.name}' made the first NaN, in the gradient of its argument {position}, of "
                f"shape {piece.shape} [{where}]"
            )


def _has_nan(array: Array) -> bool:
    return array.dtype.kind == "f" and bool(array_module(array).isnan(array).any())


def _checksum(array: Array) -> int:
    return crc32(to_numpy(array).tobytes())
