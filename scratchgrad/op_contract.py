"""What an op promises beside its numbers, looked at while it runs: it changes nothing that it is given, and its
backward answers for each of its arrays."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from scratchgrad.autograd import WATCH, Backward, Gradient, Node, Watch
from scratchgrad.backend import Array
from scratchgrad.checkpointed_block import CheckpointedBlock
from scratchgrad.contexts import context
from scratchgrad.op_errors import in_place, not_an_op, not_gradients


class BrokenOp(Exception):
    """An op that does not keep its promise; the message says how one is written."""


@context
def watched_ops() -> Iterator[None]:
    """Inside, arrays on the CPU that ops make and are given are read-only, and BrokenOp names an op that minds."""
    outer = WATCH.get()
    watch = _Watch(outer)
    WATCH.set(watch)
    try:
        yield
    except ValueError as error:
        if "read-only" not in str(error):
            raise
        raise BrokenOp(f"an op writes into an array that it was given; {INSTEAD}: {error}"[:LONGEST]) from None
    finally:
        WATCH.set(outer)
        for array in reversed(watch.frozen):
            array.flags.writeable = True


INSTEAD = "make a new one, y = x * 2, not x *= 2"
LONGEST = 290  # characters of a message


def read_only(array: Array) -> Array:
    """A view of an array that refuses to be written into; a CuPy array as it is, which cannot refuse."""
    if not isinstance(array, np.ndarray):
        return array
    view = array.view()
    view.flags.writeable = False
    return view


class _Watch:
    def __init__(self, outer: Watch | None) -> None:
        self.frozen: list[Array] = []
        self._outer = outer

    def made(
        self, node: Node | None, name: str, values: Sequence[Any], value: Array, backward: Backward | None
    ) -> None:
        if self._outer is not None:
            self._outer.made(node, name, values, value, backward)
        if backward is not None and not callable(backward):
            raise BrokenOp(str(not_an_op(name, (value, backward))))
        if isinstance(value, np.ndarray) and value.flags.writeable:
            value.flags.writeable = False
            self.frozen.append(value)
        if node is not None and backward is not None and not isinstance(backward, CheckpointedBlock):
            node.backward = _checked(name, backward, len(node.inputs))

    def before(self, node: Node) -> None:
        if self._outer is not None:
            self._outer.before(node)

    def after(self, node: Node, gradient: Array, position: int, piece: Array) -> None:
        if self._outer is not None:
            self._outer.after(node, gradient, position, piece)


def _checked(name: str, backward: Backward, count: int) -> Backward:
    """The same backward; BrokenOp where it writes into arrays, or does not return `count` gradients."""

    def run(grad: Array) -> Sequence[Gradient]:
        pieces = _guarded(name, lambda: backward(read_only(grad)))()
        if not isinstance(pieces, tuple | list) or len(pieces) != count:
            raise BrokenOp(str(not_gradients(name, pieces, count)))
        return tuple(_guarded(name, piece) if callable(piece) else piece for piece in pieces)

    return run


def _guarded(name: str, make: Callable[[], Any]) -> Callable[[], Any]:
    def run() -> Any:
        try:
            return make()
        except ValueError as error:
            if "read-only" not in str(error):
                raise
            raise BrokenOp(str(in_place(name))) from None

    return run
