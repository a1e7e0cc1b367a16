"""The graph of recorded values: its nodes, and whether and where they are made now."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ContextDecorator
from contextvars import ContextVar
from typing import Any, NamedTuple, Protocol, TypeVar
from weakref import ref

from scratchgrad.backend import Array
from scratchgrad.contexts import refuse_what_runs_later
from scratchgrad.versions import sequence_numbers


class SparseGradient(NamedTuple):
    """A gradient that is zero outside array[index]; index names no element twice."""

    array: Array
    index: Any


# An array, a part of one, a promise of either, or no contribution.
Gradient = Array | SparseGradient | Callable[[], Array] | None
Backward = Callable[[Array], Sequence[Gradient]]
Hook = Callable[[Array], Array | None]
Function = TypeVar("Function", bound=Callable[..., Any])


class Scope(NamedTuple):
    """A call of a module, in which nodes are made; `outer` is the call that it is part of."""

    module: ref[Any]
    kind: str  # the name of its class
    outer: Scope | None
    number: int


class Watch(Protocol):
    """Anomaly mode or a profile, as ops and backward passes call it."""

    def made(
        self, node: Node | None, name: str, values: Sequence[Any], value: Array, backward: Backward | None
    ) -> None: ...
    def before(self, node: Node) -> None: ...
    def after(self, node: Node, gradient: Array, position: int, piece: Array) -> None: ...


# How ops are recorded now: in this thread, and in this task of asyncio.
GRAD_ENABLED: ContextVar[bool] = ContextVar("grad_enabled", default=True)
SCOPE: ContextVar[Scope | None] = ContextVar("scope", default=None)
WATCH: ContextVar[Watch | None] = ContextVar("watch", default=None)


class Value(Protocol):
    """What this file needs to know of a Tensor, which stands one floor above."""

    data: Array
    grad: Array | None
    node: Node | None


class Node:
    """A value that a gradient can reach: an op's result, or a leaf. It holds no array but what its closure names.

    A leaf knows its Tensor weakly: who drops the Tensor drops the only place where its gradient could be read.
    """

    __slots__ = ("backward", "dtype", "hooks", "inputs", "leaf", "name", "scope", "sequence_number", "shape")

    def __init__(
        self,
        name: str,
        value: Array,
        inputs: tuple[Node | None, ...] = (),
        backward: Backward | None = None,
        leaf: ref[Any] | None = None,
    ) -> None:
        self.name = name
        self.shape = value.shape
        self.dtype = value.dtype
        self.inputs = inputs
        self.backward = backward
        self.leaf = leaf
        self.hooks: list[Hook] | None = None
        self.scope = SCOPE.get()
        self.sequence_number = next(sequence_numbers)

    def run_hooks(self, gradient: Array) -> Array:
        """The gradient as the hooks leave it."""
        for hook in tuple(self.hooks or ()):  # a hook may take itself away
            answer = hook(gradient)
            if answer is not None:
                if answer.shape != self.shape:
                    raise ValueError(
                        f"a hook on '{self.name}' gave a gradient of shape {answer.shape} where {self.shape} is needed"
                    )
                gradient = answer
        return gradient


class no_grad(ContextDecorator):  # noqa: N801  (PyTorch's name)
    """Inside, values are computed and nothing is recorded, in this thread: `with no_grad():`, or `@no_grad()`.

    TypeError where it decorates a generator or a coroutine function, whose body runs after the call has returned.
    """

    def __init__(self) -> None:
        self._outer: list[bool] = []

    def __enter__(self) -> None:
        self._outer.append(GRAD_ENABLED.get())
        GRAD_ENABLED.set(False)

    def __exit__(self, *error: object) -> None:
        GRAD_ENABLED.set(self._outer.pop())

    def __call__(self, function: Function) -> Function:
        refuse_what_runs_later("no_grad", function)
        return super().__call__(function)

    def _recreate_cm(self) -> no_grad:
        return no_grad()  # for each call of a decorated function, which may be in several threads at once


def reachable(roots: Sequence[Node], until: frozenset[Node] = frozenset()) -> dict[Node, int]:
    """Every node below the roots, down to leaves and to `until`, with the number of nodes that read it."""
    dependencies = dict.fromkeys(roots, 0)
    unseen = list(dependencies)
    while unseen:  # a loop, so that a deep graph cannot exhaust the call stack
        node = unseen.pop()
        if node in until:
            continue
        if node.backward is None and node.leaf is None:
            raise RuntimeError(
                f"a backward pass has already gone through '{node.name}' and freed what it kept; "
                "run the forward pass again"
            )
        for input_node in node.inputs:
            if input_node is not None:
                if input_node in dependencies:
                    dependencies[input_node] += 1
                else:
                    dependencies[input_node] = 1
                    unseen.append(input_node)
    return dependencies
