"""Nodes remember how values were made. The walk sends a gradient back through them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from typing import Any, NamedTuple, Protocol
from weakref import ref

from scratchgrad.backend import Array, array_module


class Part(NamedTuple):
    """A gradient that is zero outside array[index]; index names no element twice."""

    array: Array
    index: Any


# An array, a part of one, a promise of either, or no contribution.
Gradient = Array | Part | Callable[[], Array] | None
Backward = Callable[[Array], Sequence[Gradient]]

_births = count()
_recording = True


class Value(Protocol):
    """What this file needs to know of a Tensor, which stands one floor above."""

    data: Array
    grad: Array | None
    node: Node | None


class Node:
    """A value that a gradient can reach: an op's result, or a leaf. It holds no array but what its closure names.

    A leaf knows its Tensor weakly: who drops the Tensor drops the only place where its gradient could be read.
    """

    __slots__ = ("backward", "birth", "dtype", "leaf", "name", "shape", "sources")

    def __init__(
        self,
        name: str,
        value: Array,
        sources: tuple[Node | None, ...] = (),
        backward: Backward | None = None,
        leaf: ref[Any] | None = None,
    ) -> None:
        self.name, self.shape, self.dtype = name, value.shape, value.dtype
        self.sources, self.backward, self.leaf = sources, backward, leaf
        self.birth = next(_births)


def recording() -> bool:
    return _recording


@contextmanager
def no_grad() -> Iterator[None]:
    """Inside, values are computed and nothing is remembered."""
    global _recording
    before, _recording = _recording, False
    try:
        yield
    finally:
        _recording = before


def reachable(root: Node, until: frozenset[Node] = frozenset()) -> dict[Node, int]:
    """Every node below root, down to leaves and to `until`, with the number of nodes that read it."""
    readers = {root: 0}
    unseen = [root]
    while unseen:  # a loop, so that a deep graph cannot exhaust the call stack
        node = unseen.pop()
        if node in until:
            continue
        if node.backward is None and node.leaf is None:
            raise RuntimeError(f"a backward pass has already gone through '{node.name}' and let its values go")
        for source in node.sources:
            if source is None:
                continue
            if source not in readers:
                readers[source] = 0
                unseen.append(source)
            readers[source] += 1
    return readers


class Walk:
    """One backward pass: the sums of gradients under way, and who has still to add to a leaf."""

    def __init__(self, root: Node, gradient: Array, on_final: Callable[[Any], None] | None = None) -> None:
        self._sums: dict[Node, tuple[Array, bool]] = {}  # the bool: is the array ours to change?
        self._on_final = on_final
        self.add(root, gradient, fresh=False)
        self.descend(root)

    def descend(self, root: Node, until: frozenset[Node] = frozenset()) -> None:
        """Send root's gradient down to the leaves, or to `until`, whose sums then wait in this walk.

        The newest unfinished node always has all its gradient, because whoever reads a value is younger than it. No
        other order is needed, and gradients meet in the same order whatever the graph.
        """
        readers = reachable(root, until)
        order = sorted(readers.keys() - until, key=lambda node: node.birth)
        while order:
            node = order.pop()  # popped, not iterated: a node that is done is a node that is gone
            if node.leaf is not None:
                continue  # delivered below, as soon as its last reader has passed
            gradient, _ = self._sums.pop(node, (None, False))
            sources, backward = node.sources, node.backward
            node.sources, node.backward = (), None
            if gradient is not None and backward is not None:
                self._pass_on(gradient, sources, backward)
            for source in sources:
                if source is None:
                    continue
                readers[source] -= 1
                if readers[source] == 0 and source.leaf is not None and source not in until:
                    self._deliver(source)
        if root.leaf is not None and root not in until:
            self._deliver(root)

    def _pass_on(self, gradient: Array, sources: tuple[Node | None, ...], backward: Backward) -> None:
        if isinstance(backward, Again):
            backward.walk_on(self, gradient)
            return
        given: list[Array] = []
        for source, piece in zip(sources, backward(gradient), strict=True):
            if source is None or piece is None:
                continue  # nobody asked, or nothing to say
            if callable(piece):
                piece = piece()
            if isinstance(piece, Part):
                self._add_part(source, piece)
                continue
            summed = unbroadcast(piece, source.shape).astype(source.dtype, copy=False)
            fresh = summed is not gradient and summed.base is None and not any(summed is other for other in given)
            given.append(summed)
            self.add(source, summed, fresh)

    def add(self, node: Node, piece: Array, fresh: bool) -> None:
        """Let `piece` meet what is already on its way to node. A fresh array is nobody else's."""
        held, ours = self._sums.get(node, (None, False))
        if held is None:
            self._sums[node] = piece, fresh
        elif ours and held.ndim:
            held += piece
        else:
            self._sums[node] = array_module(piece).asarray(held + piece), True

    def _add_part(self, node: Node, part: Part) -> None:
        held, ours = self._sums.get(node, (None, False))
        if held is None:
            held = array_module(part.array).zeros(node.shape, node.dtype)
        elif not ours:
            held = held.copy()
        held[part.index] += part.array
        self._sums[node] = held, True

    def _deliver(self, node: Node) -> None:
        gradient, ours = self._sums.pop(node, (None, False))
        leaf = node.leaf() if node.leaf is not None else None
        if leaf is None:
            return
        if gradient is not None:
            if leaf.grad is not None:
                leaf.grad = array_module(gradient).asarray(leaf.grad + gradient)
            else:
                leaf.grad = gradient if ours else gradient.copy()
        if self._on_final is not None:
            self._on_final(leaf)


class Again:
    """The backward of a block that kept only its inputs: run it once more, and walk on into what it reads."""

    def __init__(self, block: Callable[[], Value], outside: frozenset[Node]) -> None:
        self.block, self.outside = block, outside

    def __call__(self, gradient: Array) -> Sequence[Gradient]:
        raise TypeError("a recomputed block is walked into, not called")

    def walk_on(self, walk: Walk, gradient: Array) -> None:
        root = self.block().node
        if root is not None:
            walk.add(root, gradient, fresh=False)
            walk.descend(root, until=self.outside)


def unbroadcast(gradient: Array, shape: tuple[int, ...]) -> Array:
    """Sum a gradient back to the shape that its input had before broadcasting stretched it."""
    if gradient.shape == shape:
        return gradient
    lead = gradient.ndim - len(shape)
    stretched = tuple(i for i in range(gradient.ndim) if i < lead or (shape[i - lead] == 1 != gradient.shape[i]))
    return array_module(gradient).asarray(gradient.sum(axis=stretched, keepdims=True)).reshape(shape)
