"""Which memory was written into through a Tensor, and when: a backward pass that kept it refuses to go on.

An op notes nothing. A change notes its sequence number under the array that owns the memory, as nodes of the graph are
numbered, so that views of one array share their changes; a backward pass compares the newest change with each node,
and looks at what a node's closure keeps only where the change is the newer one.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import count
from weakref import ref

from scratchgrad.backend import Array
from scratchgrad.closures import owner

sequence_numbers = count()  # of nodes and changes

_changes: dict[int, tuple[int, ref[Array]]] = {}  # by the id of the owner, as long as it lives
_newest = -1


def mark_changed(array: Array) -> None:
    """The memory of this array was written into just now."""
    global _newest
    memory = owner(array)
    key = id(memory)
    alive = _changes[key][1] if key in _changes else ref(memory, lambda _: _changes.pop(key, None))
    _newest = next(sequence_numbers)
    _changes[key] = _newest, alive


def newest_change() -> int:
    """The sequence number of the last change; -1 where there was none."""
    return _newest


def changed_since(sequence_number: int, arrays: Iterable[Array]) -> Array | None:
    """The first of the arrays whose memory was written into after `sequence_number`."""
    return next((array for array in arrays if _changes.get(id(owner(array)), (-1,))[0] > sequence_number), None)
