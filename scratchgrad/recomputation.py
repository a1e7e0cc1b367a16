"""Trade time for memory: forget a block's intermediate values, run it again when its gradient is due.

Chen et al. 2016, "Training deep nets with sublinear memory cost".
"""

from collections.abc import Callable
from typing import Any

from scratchgrad.autograd import Again, Node, reachable, state
from scratchgrad.random import drawing_at, place
from scratchgrad.tensor import Tensor


def recompute(block: Callable[..., Tensor], *inputs: Any) -> Tensor:
    """block(*inputs), keeping only the inputs. Whatever the block reads gets its gradient as usual, bit for bit.

    The first run is recorded only to learn which leaves the block reads, then its record is dropped. Dropout inside the
    block falls on the same elements both times.
    """
    where = place()
    out = block(*inputs)
    if not state.recording or out.node is None:
        return out
    entrances = frozenset(t.node for t in inputs if isinstance(t, Tensor) and t.node is not None)
    read = reachable([out.node], until=entrances)
    outside = frozenset(node for node in read if node.leaf is not None or node in entrances)
    sources = tuple(sorted(outside, key=lambda node: node.birth))

    def run_again() -> Tensor:
        with drawing_at(where):
            return block(*inputs)

    forgetful = Tensor(out.data)
    forgetful.node = Node("recompute", out.data, sources, Again(run_again, outside))
    return forgetful
