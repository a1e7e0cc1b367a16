"""The parts of a global batch and the sums over them: the same bits whoever computes which part.

A batch is cut into a fixed number of microbatches. What a microbatch yields does not depend on who computes it, and
microbatches are added in one fixed binary tree: inside a rank by `TreeSum`, across ranks by `ReductionTree`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from scratchgrad import Tensor
from scratchgrad.backend import Array, array_module, device_of, to_device, to_numpy
from scratchgrad.parallel import Communicator, ReductionTree, TreeSum, tree_sum
from scratchgrad.train.objectives import LossOutput

Floats = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True)
class Microbatches:
    """How the rows of a global batch are cut: microbatches of equal size, neighbours in one rank."""

    rows: int  # of one microbatch
    tree: ReductionTree  # which rank computes which, and how they are added up
    mine: range  # the microbatches that this rank computes

    @classmethod
    def of(cls, batch_size: int, count: int, comm: Communicator) -> Microbatches:
        tree = ReductionTree(count, comm.size)
        return cls(batch_size // count, tree, tree.leaves_of(comm.rank))

    def rows_of(self, microbatch: int) -> slice:
        """Its rows in the global batch."""
        return slice(microbatch * self.rows, (microbatch + 1) * self.rows)

    def numbers_of(self, step: int, microbatch: int) -> range:
        """The numbers of its rows, counted from the beginning of training."""
        first = (step * self.tree.leaves + microbatch) * self.rows
        return range(first, first + self.rows)

    def numbers_of_step(self, step: int) -> range:
        return range(step * self.tree.leaves * self.rows, (step + 1) * self.tree.leaves * self.rows)


@dataclass(frozen=True)
class BatchTotals:
    """What a global batch came to, the same on every rank.

    losses (microbatches,): of each the sum over its targets. flags: for each one, did some rank raise it?
    metrics: what the model counted, lists of integers by name. scores: by name how often the model was right, and of
    how many times.
    """

    losses: Floats
    num_targets: int
    flags: list[bool]
    metrics: dict[str, Any]
    scores: dict[str, tuple[int, int]]

    @property
    def loss(self) -> float:
        """The sum over all targets, in nats, added in the fixed tree."""
        total: float = tree_sum(self.losses.tolist())
        return total


class LossSums:
    """Collects what the microbatches of this rank yield, then adds it up over all ranks."""

    def __init__(self) -> None:
        self._losses: list[float] = []
        self._counts: dict[tuple[str, str], np.ndarray[Any, Any]] = {}  # integers, which add up in any order

    def add(self, output: LossOutput) -> None:
        self._losses.append(output.loss.item())
        counts: dict[tuple[str, str], Any] = {("num_targets", ""): output.num_targets}
        counts |= {("metric", name): array for name, array in output.metrics.items()}
        counts |= {("score", name): pair for name, pair in output.scores.items()}
        for name, count in counts.items():
            self._counts[name] = np.asarray(count, np.float64) + self._counts.get(name, 0)

    def all_reduce(self, comm: Communicator, flags: Sequence[bool] = ()) -> BatchTotals:
        """The totals of all ranks. `flags` travel along. Ranks may differ in the number of their microbatches."""
        parts = [np.array(flags, np.float64), *(count.reshape(-1) for count in self._counts.values())]
        cuts = np.cumsum([len(part) for part in parts])
        by_rank = [np.split(sent, cuts) for sent in comm.all_gatherv(np.concatenate([*parts, self._losses]))]
        raised, *counted, losses = (list(of_ranks) for of_ranks in zip(*by_rank, strict=True))
        totals = {
            name: np.sum(of_ranks, axis=0).astype(np.int64).reshape(self._counts[name].shape)
            for name, of_ranks in zip(self._counts, counted, strict=True)
        }
        return BatchTotals(
            np.concatenate(losses),
            int(totals["num_targets", ""]),
            [bool(by_ranks.any()) for by_ranks in np.stack(raised, axis=1)],
            {name: total.tolist() for (kind, name), total in totals.items() if kind == "metric"},
            {name: tuple(total.tolist()) for (kind, name), total in totals.items() if kind == "score"},
        )


def take_gradients(parameters: Sequence[Tensor]) -> list[Array]:
    """The gradients, moved out of the parameters; an absent one is zeros."""
    taken = []
    for parameter in parameters:
        absent = parameter.grad is None
        taken.append(array_module(parameter.data).zeros_like(parameter.data) if absent else parameter.grad)
        parameter.grad = None
    return taken


def all_reduce_gradients(
    parameters: Sequence[Tensor], gradients: TreeSum, tree: ReductionTree, comm: Communicator
) -> None:
    """Put the sums over all ranks into the parameters' `.grad`. A rank's subtotals travel as flat arrays."""
    if comm.size == 1:
        totals = gradients.total()
    else:
        subtotals = gradients.subtotals()
        flat = [np.concatenate([to_numpy(gradient).reshape(-1) for gradient in subtotal]) for subtotal in subtotals]
        pieces = np.split(tree.all_reduce(flat, comm), np.cumsum([p.size for p in parameters])[:-1])
        totals = [
            to_device(piece.reshape(parameter.shape), device_of(parameter.data))
            for piece, parameter in zip(pieces, parameters, strict=True)
        ]
    for parameter, total in zip(parameters, totals, strict=True):
        parameter.grad = total
