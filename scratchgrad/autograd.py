"""The graph of recorded values, and the backward pass through it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ContextDecorator
from contextvars import ContextVar
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, NamedTuple, Protocol, TypeVar
from weakref import ref

from scratchgrad.backend import Array, array_module, sum_over
from scratchgrad.closures import kept_arrays
from scratchgrad.contexts import refuse_what_runs_later
from scratchgrad.op_errors import not_an_op, not_gradients
from scratchgrad.versions import changed_since, newest_change, sequence_numbers


class SparseGradient(NamedTuple):
    """A gradient that is zero outside array[index]; index names no element twice."""

    array: Array
    index: Any


# An array, a part of one, a promise of either, or no contribution.
Gradient = Array | SparseGradient | Callable[[], Array] | None
Backward = Callable[[Array], Sequence[Gradient]]
Hook = Callable[[Array], Array | None]
Function = TypeVar("Function", bound=Callable[..., Any])

_by_sequence_number = attrgetter("sequence_number")


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


class InputGradient(NamedTuple):
    """A gradient of an op's input; `summed`: it is added to those that the input already has."""

    node: Node
    array: Array
    summed: bool


@dataclass
class BackwardStep:
    """One node of a backward pass: the complete gradient of its value, and the gradients that its backward returned.

    A leaf has no input gradients, and its own is final. depth: 1 and more inside recomputed blocks. freed: the bytes
    that the op's closure kept until now.
    """

    node: Node
    gradient: Array | None
    input_gradients: list[InputGradient]
    depth: int
    freed: int = 0

    def __str__(self) -> str:
        shape = "nothing" if self.gradient is None else f"gradient {self.gradient.shape}"
        inputs = ", ".join(f"{to.name} {array.shape}" + " (summed)" * add for to, array, add in self.input_gradients)
        text = f"{'  ' * self.depth}{self.node.name}: {shape}" + (f" -> {inputs}" if inputs else "")
        return text + (f"; {self.freed:,} bytes freed" if self.freed else "")


class BackwardPass:
    """One backward pass: the gradients summed so far of nodes that it has not reached yet.

    finish_leaf(leaf, gradient, owned) is called for every leaf as soon as its gradient is final (None: it has none). An
    owned array is nobody else's. wanted: only what leads to these nodes is computed.
    """

    def __init__(
        self,
        roots: Sequence[tuple[Node, Array]],
        finish_leaf: Callable[[Any, Array | None, bool], None],
        wanted: frozenset[Node] | None = None,
    ) -> None:
        self._sums: dict[Node, tuple[Array, bool]] = {}  # the bool: is the array ours to change?
        self._finish_leaf = finish_leaf
        self._wanted = wanted
        self._depth = 0
        self._newest_change = newest_change()
        self._roots = [root for root, _ in roots]
        for root, gradient in roots:
            self.add(root, gradient, owned=False)

    def run(self) -> None:
        for _ in self.traverse(self._roots):
            pass

    def steps(self) -> Iterator[BackwardStep]:
        """The same as `run`, node by node."""
        return self.traverse(self._roots, yields=True)

    def traverse(
        self, roots: Sequence[Node], until: frozenset[Node] = frozenset(), yields: bool = False
    ) -> Iterator[BackwardStep]:
        """Propagate the roots' gradients to the leaves, or to `until`, whose sums then stay in this backward pass.

        The newest node that is left always has its whole gradient, because an op is newer than its inputs. No other
        order is needed, and gradients are summed in the same order whatever the graph. yields: a step for each node.
        """
        dependencies = reachable(roots, until)
        order = sorted(dependencies, key=_by_sequence_number)
        needed = self._leading_to_wanted(order) if self._wanted is not None and not self._depth else None
        sums, watch = self._sums, WATCH.get()
        for root in roots:
            if root.leaf is not None and root not in until and not dependencies[root]:
                yield from self._finish(root, yields)
        while order:
            node = order.pop()  # popped, not iterated: a node that is done is a node that is gone
            backward, inputs = node.backward, node.inputs
            if backward is None or node in until:
                continue  # a leaf is finished below, as soon as the last op that reads it is done
            gradient, _ = sums.pop(node, (None, False))
            node.inputs, node.backward = (), None
            if gradient is not None or (isinstance(backward, CheckpointedBlock) and backward.others):
                if node.hooks is not None and gradient is not None:
                    gradient = node.run_hooks(gradient)
                if needed is None or node in needed:
                    input_gradients: list[InputGradient] | None = [] if yields else None
                    freed = sum(array.nbytes for array in kept_arrays(backward)) if yields else 0
                    if isinstance(backward, CheckpointedBlock):
                        yield from self._recompute(node, backward, gradient, yields)
                    else:
                        if watch is not None:
                            watch.before(node)
                        self._run_backward(node, gradient, inputs, backward, needed, input_gradients)
                    if input_gradients is not None:
                        backward = None  # what it kept is freed before the step is yielded
                        yield BackwardStep(node, gradient, input_gradients, self._depth, freed)
            for input_node in inputs:
                if input_node is not None:
                    left = dependencies[input_node] - 1
                    dependencies[input_node] = left
                    if left == 0 and input_node.leaf is not None and input_node not in until:
                        yield from self._finish(input_node, yields)

    def _recompute(
        self, node: Node, checkpointed: CheckpointedBlock, gradient: Array | None, yields: bool
    ) -> Iterator[BackwardStep]:
        """Run a checkpointed block once more, and this backward pass through it, down to its inputs."""
        gradients, roots = {0: gradient, **checkpointed.others}, []
        if node.sequence_number < self._newest_change:
            refuse_changed(node, kept_arrays(checkpointed))
        for position, value in enumerate(checkpointed.block()):
            piece = gradients.get(position)
            if value.node is not None and piece is not None:
                self.add(value.node, piece, owned=False)
                roots.append(value.node)
        if roots:
            self._depth += 1
            yield from self.traverse(roots, checkpointed.outside, yields)
            self._depth -= 1

    def _run_backward(
        self,
        node: Node,
        gradient: Array,
        inputs: tuple[Node | None, ...],
        backward: Backward,
        needed: set[Node] | None,
        input_gradients: list[InputGradient] | None,
    ) -> None:
        """Call an op's backward, and add what it returns to the gradients of the op's inputs."""
        returned: list[Array] = []
        watch = WATCH.get()
        try:
            pieces = backward(gradient)
        except TypeError as error:
            raise error if callable(backward) else not_an_op(node.name, (gradient, backward)) from None
        try:
            if len(pieces) != len(inputs):
                raise TypeError
        except TypeError:
            raise not_gradients(node.name, pieces, len(inputs)) from None
        if node.sequence_number < self._newest_change:
            asked = [to is not None and (needed is None or to in needed) for to in inputs]
            refuse_changed(node, _arrays_read(backward, pieces, asked))
        for position, input_node in enumerate(inputs):
            piece = pieces[position]
            if input_node is None or piece is None or (needed is not None and input_node not in needed):
                continue  # nobody asked, or nothing to say
            if callable(piece):
                piece = piece()
            if isinstance(piece, SparseGradient):
                if input_gradients is not None:
                    input_gradients.append(InputGradient(input_node, piece.array, input_node in self._sums))
                self._add_sparse(input_node, piece)
                continue
            if piece.shape != input_node.shape:
                if not fits(piece.shape, input_node.shape):
                    raise ValueError(
                        f"the backward of '{node.name}' gave a gradient of shape {piece.shape} for argument "
                        f"{position}, which has shape {input_node.shape}"
                    )
                piece = unbroadcast(piece, input_node.shape)
            if piece.dtype != input_node.dtype:
                piece = piece.astype(input_node.dtype)
            if watch is not None:
                watch.after(node, gradient, position, piece)
            owned = piece is not gradient and piece.base is None and not any(piece is other for other in returned)
            returned.append(piece)
            if input_gradients is not None:
                input_gradients.append(InputGradient(input_node, piece, input_node in self._sums))
            self.add(input_node, piece, owned)

    def add(self, node: Node, piece: Array, owned: bool) -> None:
        """Add `piece` to the gradient of a node. An owned array is nobody else's."""
        sums = self._sums
        if node not in sums:
            sums[node] = piece, owned
            return
        held, ours = sums[node]
        if ours and held.ndim:
            held += piece
        else:
            sums[node] = array_module(piece).asarray(held + piece), True

    def _add_sparse(self, node: Node, sparse: SparseGradient) -> None:
        held, ours = self._sums.get(node, (None, False))
        if held is None:
            held = array_module(sparse.array).zeros(node.shape, node.dtype)
        elif not ours:
            held = held.copy()
        held[sparse.index] += sparse.array
        self._sums[node] = held, True

    def _finish(self, leaf: Node, yields: bool) -> Iterator[BackwardStep]:
        gradient, owned = self._sums.pop(leaf, (None, False))
        if gradient is not None and leaf.hooks is not None:
            hooked = leaf.run_hooks(gradient)
            gradient, owned = hooked, owned and hooked is gradient
        tensor = leaf.leaf() if leaf.leaf is not None else None
        if tensor is not None:
            self._finish_leaf(tensor, gradient, owned)
        if yields:
            yield BackwardStep(leaf, gradient, [], self._depth)

    def _leading_to_wanted(self, order: list[Node]) -> set[Node]:
        """The nodes of `order` (oldest first) that are wanted or read something that leads to a wanted one."""
        needed: set[Node] = set()
        for node in order:
            if node in (self._wanted or ()) or any(input_node in needed for input_node in node.inputs):
                needed.add(node)
        return needed


class CheckpointedBlock:
    """The backward of a block that kept only its inputs: run it once more, with a backward pass through it.

    `block` computes its values anew. The gradient of the first belongs to the block's own node. Each other value has a
    node of its own, newer than the block's, whose backward keeps its gradient in `others`.
    """

    def __init__(self, block: Callable[[], Sequence[Value]], outside: frozenset[Node]) -> None:
        self.block, self.outside = block, outside
        self.others: dict[int, Array] = {}

    def backward_of(self, position: int) -> Backward:
        """The backward of the value at `position`."""

        def backward(gradient: Array) -> tuple[None]:
            self.others[position] = gradient
            return (None,)

        return backward

    def __call__(self, gradient: Array) -> Sequence[Gradient]:
        raise TypeError("the backward of a recomputed block is a pass through it, not a call")


def _arrays_read(backward: Backward, pieces: Sequence[Gradient], asked: Sequence[bool]) -> list[Array]:
    """What `backward` keeps, but for what only those promises read that nobody asks for."""
    promises = [(piece, wanted) for piece, wanted in zip(pieces, asked, strict=False) if callable(piece)]
    promised = {id(array) for array in kept_arrays([piece for piece, _ in promises])}
    read = [array for array in kept_arrays(backward) if id(array) not in promised]
    return read + kept_arrays([piece for piece, wanted in promises if wanted])


def refuse_changed(node: Node, kept: Sequence[Array]) -> None:
    """RuntimeError where one of these arrays, kept for the node's backward, was changed in place since the forward."""
    changed = changed_since(node.sequence_number, kept)
    if changed is not None:
        raise RuntimeError(
            f"backward of '{node.name}': an array of shape {changed.shape} that it kept was changed in place after the "
            "forward pass; change it after backward(), or make a new one: x = x + 1, not x += 1"
        )


def accumulate(leaf: Any, gradient: Array | None, owned: bool) -> None:
    """What backward() does with the gradient of a leaf: add it to .grad."""
    if gradient is None:
        return
    if leaf.grad is not None:
        leaf.grad = array_module(gradient).asarray(leaf.grad + gradient)
    else:
        leaf.grad = gradient if owned else gradient.copy()


def fits(gradient: tuple[int, ...], shape: tuple[int, ...]) -> bool:
    """Could an input of `shape` have been stretched to the shape of this gradient?"""
    lead = len(gradient) - len(shape)
    return lead >= 0 and all(m in (1, n) for n, m in zip(gradient[lead:], shape, strict=True))


def unbroadcast(gradient: Array, shape: tuple[int, ...]) -> Array:
    """Sum a gradient back to the shape that its input had before broadcasting stretched it."""
    lead = gradient.ndim - len(shape)
    stretched = tuple(i for i in range(gradient.ndim) if i < lead or (shape[i - lead] == 1 != gradient.shape[i]))
    return array_module(gradient).asarray(sum_over(gradient, stretched)).reshape(shape)
