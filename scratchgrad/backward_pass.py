"""The backward pass through the graph: from the newest node to the oldest, gradients are summed and leaves finished."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, NamedTuple

from scratchgrad.autograd import WATCH, Backward, Gradient, Node, SparseGradient, reachable
from scratchgrad.backend import Array, array_module, sum_over
from scratchgrad.checkpointed_block import CheckpointedBlock
from scratchgrad.closures import kept_arrays
from scratchgrad.op_errors import in_place, not_a_gradient, not_an_op, not_gradients
from scratchgrad.versions import changed_since, newest_change

_by_sequence_number = attrgetter("sequence_number")


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
        if node.sequence_number < self._newest_change:
            refuse_changed(node, kept_arrays(checkpointed))
        roots = []
        for root, piece in checkpointed.again(gradient):
            self.add(root, piece, owned=False)
            roots.append(root)
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
        except ValueError as error:
            raise in_place(node.name) if "read-only" in str(error) else error from None
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
            try:
                shape, _ = piece.shape, piece.base
            except AttributeError:
                raise not_a_gradient(node.name, piece, position) from None
            if shape != input_node.shape:
                if not fits(shape, input_node.shape):
                    raise ValueError(
                        f"the backward of '{node.name}' gave a gradient of shape {shape} for argument "
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
