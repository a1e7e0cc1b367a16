"""A mode in which a row's bits do not depend on the rows beside it.

A matrix product of BLAS adds in an order that depends on how many rows there are, so that a text that is written in a
batch may differ from the same text alone. Inside `batch_invariant()` the ops that mix rows in that way compute each row
as they would compute it by itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextvars import ContextVar

from scratchgrad.contexts import context

_is_on: ContextVar[bool] = ContextVar("batch_invariant", default=False)


@context
def batch_invariant() -> Iterator[None]:
    """Inside, in this thread and on the CPU, a row gets the same bits whatever other rows there are.

    It holds for everything that models are made of where it takes (rows, 1, ...) and no gradient is asked for: linear
    and grouped linear layers, attention over a key-value cache, feed-forward parts, norms, activations.
    """
    outer = _is_on.get()
    _is_on.set(True)
    try:
        yield
    finally:
        _is_on.set(outer)


def is_batch_invariant() -> bool:
    return _is_on.get()
