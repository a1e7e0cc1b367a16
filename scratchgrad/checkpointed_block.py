"""What stands in the graph for a block of ops that is forgotten, and run once more when its gradient is due."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from scratchgrad.autograd import Backward, Gradient, Node, Value
from scratchgrad.backend import Array


class CheckpointedBlock:
    """The backward of a block that kept only its inputs: run it once more, with a backward pass through it.

    `block` computes its values anew. The gradient of the first belongs to the block's own node. Each other value has a
    node of its own, newer than the block's, whose backward keeps its gradient in `others`.
    """

    def __init__(self, block: Callable[[], Sequence[Value]], outside: frozenset[Node]) -> None:
        self.block, self.outside = block, outside
        self.others: dict[int, Array] = {}

    def again(self, gradient: Array | None) -> list[tuple[Node, Array]]:
        """Run the block: the nodes of its values, each with the gradient that a pass through it begins with."""
        gradients = {0: gradient, **self.others}
        found = []
        for position, value in enumerate(self.block()):
            piece = gradients.get(position)
            if value.node is not None and piece is not None:
                found.append((value.node, piece))
        return found

    def backward_of(self, position: int) -> Backward:
        """The backward of the value at `position`."""

        def backward(gradient: Array) -> tuple[None]:
            self.others[position] = gradient
            return (None,)

        return backward

    def __call__(self, gradient: Array) -> Sequence[Gradient]:
        raise TypeError("the backward of a recomputed block is a pass through it, not a call")
