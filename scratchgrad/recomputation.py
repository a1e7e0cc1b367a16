"""Trade time for memory: forget a block's intermediate values, run it again when its gradient is due.

Chen et al. 2016, "Training deep nets with sublinear memory cost".
"""

from collections.abc import Callable
from typing import Any, TypeVar

from scratchgrad.autograd import GRAD_ENABLED, Node, reachable
from scratchgrad.checkpointed_block import CheckpointedBlock
from scratchgrad.random import fork_rng, get_rng_state
from scratchgrad.tensor import Tensor

Result = TypeVar("Result", Tensor, tuple[Tensor, ...])


def recompute(block: Callable[..., Result], *inputs: Any) -> Result:
    """block(*inputs), keeping only the inputs. Whatever the block reads gets its gradient as usual, bit for bit.

    The block returns a tensor or a tuple of tensors. Tensors that were made outside of it and need a gradient are to be
    among its inputs; leaves, such as parameters, need not be. The first run is recorded only to learn which leaves the
    block reads, then that graph is dropped. Dropout inside the block falls on the same elements both times.
    """
    rng = get_rng_state()
    result = block(*inputs)
    values = _several(result)
    roots = [value.node for value in values if value.node is not None]
    if not GRAD_ENABLED.get() or not roots:
        return result
    entrances = frozenset(t.node for t in inputs if isinstance(t, Tensor) and t.node is not None)
    read = reachable(roots, until=entrances)
    outside = frozenset(node for node in read if node.leaf is not None or node in entrances)
    entries = tuple(sorted(outside, key=lambda node: node.sequence_number))

    def run_again() -> tuple[Tensor, ...]:
        with fork_rng(rng):
            return _several(block(*inputs))

    checkpointed = CheckpointedBlock(run_again, outside)
    first = Node("recompute", values[0].data, entries, checkpointed)
    outs = []
    for position, value in enumerate(values):
        out = Tensor(value.data)
        if position == 0:
            out.node = first
        elif value.node is not None:
            out.node = Node("recomputed", value.data, (first,), checkpointed.backward_of(position))
        outs.append(out)
    return tuple(outs) if isinstance(result, tuple) else outs[0]


def _several(result: Tensor | tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return result if isinstance(result, tuple) else (result,)
