"""Where the time of a training step goes: seconds, calls, bytes and arithmetic of every op, forward and backward."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from scratchgrad.autograd import WATCH, Backward, Node
from scratchgrad.backend import Array
from scratchgrad.contexts import context

WALK = "(gradients meet)"  # between the backward of one op and the next: sums, hooks, leaves


@dataclass
class ProfileRow:
    """What one op came to in one direction. bytes: of the arrays that went in and came out."""

    name: str
    direction: str
    calls: int = 0
    seconds: float = 0.0
    bytes: int = 0
    flops: int = 0


class Profile:
    """A watch of ops and walks. Each moment belongs to what ends next, so that the rows add up to the whole time.

    The forward seconds of an op thus include the Python of the module that called it.
    """

    def __init__(self) -> None:
        self.rows: dict[tuple[str, str], ProfileRow] = {}
        self._flops: dict[int, int] = {}  # of backwards, by sequence number: nodes would keep their arrays alive
        self._open: ProfileRow | None = None  # the backward that runs now
        self._since = time.perf_counter()

    @property
    def seconds(self) -> float:
        return sum(row.seconds for row in self.rows.values())

    @property
    def flops(self) -> int:
        """Multiplications and additions of the products, as `product_flops` counts them."""
        return sum(row.flops for row in self.rows.values())

    def mark(self, name: str) -> None:
        """What happened since the last event, outside of any op, was this."""
        self._row(name, "").calls += 1
        self._take_time(self._row(name, ""))

    def skip(self) -> None:
        """What happened since the last event does not count."""
        self._since = time.perf_counter()

    def made(
        self, node: Node | None, name: str, values: Sequence[Any], value: Array, backward: Backward | None
    ) -> None:
        row = self._row(name, "forward")
        self._take_time(row)
        self._open = None
        flops = product_flops(name, values)
        row.calls += 1
        row.bytes += value.nbytes + sum(v.nbytes for v in values if hasattr(v, "nbytes"))
        backward_flops = 0 if node is None else 2 * flops
        if name == "linear_cross_entropy" and node is not None:
            if value.ndim:  # the losses of tokens: the backward makes the logits again
                backward_flops += flops
            else:  # it makes its gradients there and then
                flops, backward_flops = flops + backward_flops, 0
        row.flops += flops
        if node is not None and backward_flops:
            self._flops[node.sequence_number] = backward_flops

    def before(self, node: Node) -> None:
        self._take_time(self._row(WALK, "backward"))
        self._open = self._row(node.name, "backward")
        self._open.calls += 1
        self._open.flops += self._flops.pop(node.sequence_number, 0)

    def after(self, node: Node, gradient: Array, position: int, piece: Array) -> None:
        row = self._row(node.name, "backward")
        self._take_time(row)
        row.bytes += gradient.nbytes * (position == 0) + piece.nbytes

    def _row(self, name: str, direction: str) -> ProfileRow:
        return self.rows.setdefault((name, direction), ProfileRow(name, direction))

    def _take_time(self, row: ProfileRow) -> None:
        now = time.perf_counter()
        row.seconds += now - self._since
        self._since = now


@context
def profile() -> Iterator[Profile]:
    """Inside, every op and every step of a backward pass is timed; outside, this costs nothing.

    with profile() as profiled:
        loss_of(model, batch).backward()
    print(profiled.rows)
    """
    before, profiled = WATCH.get(), Profile()
    WATCH.set(profiled)
    try:
        yield profiled
    finally:
        WATCH.set(before)


def mark(name: str) -> None:
    """What happened since the last event, outside of any op, is called `name` in the profile that is being taken."""
    if isinstance(profiled := WATCH.get(), Profile):
        profiled.mark(name)


def product_flops(name: str, values: Sequence[Any]) -> int:
    """Multiplications and additions of an op that is made of matrix products, once; 0 for any other.

    Attention counts as if every query saw every key, and a backward pass as twice the forward one.
    """
    if name in ("linear", "linear_cross_entropy"):
        return int(2 * values[0].size * values[1].shape[0])
    if name == "swiglu_feed_forward":
        return int(2 * values[0].size // max(1, values[0].shape[-1]) * (values[1].size + values[2].size))
    if name == "grouped_linear":
        return int(2 * values[0].size * values[1].shape[1])
    if name == "matmul":
        return int(2 * values[0].size * (values[1].shape[-1] if values[1].ndim > 1 else 1))
    if name == "scaled_dot_product_attention":
        return int(4 * values[0].size * values[1].shape[-2])
    return 0
