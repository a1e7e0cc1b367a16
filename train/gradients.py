"""The gradient of a global batch: the same bits whoever computes which part of it.

The batch is cut into a fixed number of microbatches. A microbatch's gradient does not depend on who computes it, and
microbatches are added in one fixed binary tree: inside a rank by `TreeSum`, across ranks by `ReductionTree`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from scratchgrad import Tensor, fixed_weights
from scratchgrad.backend import Array, array_module, device_of, to_device, to_numpy
from scratchgrad.errors import UserError
from scratchgrad.models import AuxOutputs, Metrics, Model
from scratchgrad.optim import Optimizer, global_norm
from scratchgrad.parallel import Communicator, ReductionTree, TreeSum, tree_sum
from scratchgrad.random import RngState, fork_rng
from scratchgrad.train.data import Batches, count_targets, on_device

WHAT_HELPS = (
    "nothing was updated. A lower train.learning_rate or a longer train.warmup_steps often helps; --resume goes on "
    "from the last checkpoint"
)
SMALLEST = 1e-30  # keeps a gradient of zeros from a division by zero


@dataclass(frozen=True)
class Microbatches:
    """How the rows of a global batch are cut: microbatches of equal size, neighbours in one rank."""

    rows: int  # of one microbatch
    tree: ReductionTree  # who computes which, and how they are added up
    mine: range  # the microbatches that this rank computes

    @classmethod
    def of(cls, batch_size: int, count: int, comm: Communicator) -> Microbatches:
        tree = ReductionTree(count, comm.size)
        return cls(batch_size // count, tree, tree.leaves_of(comm.rank))

    def rows_of(self, microbatch: int) -> slice:
        return slice(microbatch * self.rows, (microbatch + 1) * self.rows)


@dataclass(frozen=True)
class BatchResult:
    """What a global batch came to, the same on every rank. The gradient sums lie in the parameters' `.grad`."""

    loss: float  # the sum over all target tokens, in nats
    tokens: int  # how many those are
    flags: list[bool]  # each flag: did some rank raise it?
    metrics: dict[str, Any]  # what the model counted, summed over microbatches: lists of integers


@fixed_weights()
def sum_gradients(
    model: Model,
    batches: Batches,
    step: int,
    seed: int,
    microbatches: Microbatches,
    comm: Communicator,
    flags: list[bool],
) -> BatchResult:
    """Leave in every parameter's `.grad` the sum of its gradients over all target tokens of step's global batch.

    `flags` travel along, so that all ranks know them at the same step. A loss that is not a finite number is a
    UserError on every rank, before any gradient has been looked at.
    """
    parameters: list[Tensor] = [parameter for parameter in model.parameters() if parameter.requires_grad]
    gradients = TreeSum(microbatches.mine.start)
    losses, tokens, counted = [], [], []
    for microbatch in microbatches.mine:
        rows = microbatches.rows_of(microbatch)
        batch = batches.rows(step, rows.start, rows.stop)
        with fork_rng(RngState(seed, step, microbatch)):
            aux = AuxOutputs()
            loss = model.loss(**on_device(batch, model.device), aux=aux)
            loss.backward()
        losses.append(loss.item())
        tokens.append(count_targets(batch))
        counted.append(_flat(aux.metrics()))
        gradients.add(_taken(parameters))

    numbers = [losses, tokens, flags, np.sum(counted, axis=0)]
    told = comm.all_gatherv(np.concatenate(numbers, dtype=np.float64))  # ranks may differ in their microbatches' number
    counts = [len(microbatches.tree.leaves_of(rank)) for rank in range(comm.size)]
    by_rank = [np.split(of_rank, np.cumsum([n, n, len(flags)])) for of_rank, n in zip(told, counts, strict=True)]
    all_losses, all_tokens = (np.concatenate([parts[i] for parts in by_rank]) for i in (0, 1))
    if not np.isfinite(all_losses).all():
        microbatch = int(np.flatnonzero(~np.isfinite(all_losses))[0])
        raise UserError(
            f"step {step + 1}: the loss of microbatch {microbatch} is {all_losses[microbatch]}; {WHAT_HELPS}"
        )
    for parameter, total in zip(parameters, _over_ranks(gradients, microbatches.tree, comm), strict=True):
        parameter.grad = total
    raised: list[bool] = np.any([parts[2] for parts in by_rank], axis=0).tolist()
    total_counted = np.sum([parts[3] for parts in by_rank], axis=0)  # exact in any order: they are integers
    metrics = _as_named(total_counted, aux.metrics())
    return BatchResult(tree_sum(all_losses.tolist()), int(all_tokens.sum()), raised, metrics)


def descend(optimizer: Optimizer, tokens: int, max_norm: float) -> float:
    """Divide the summed gradients by the number of target tokens, shorten them to `max_norm`, and take the step.

    The norm of the mean gradient, before it was shortened. Gradients are gone afterwards. A norm that is not a finite
    number is a UserError, on every rank, and nothing is updated.
    """
    norm = global_norm(p.grad for p in optimizer.parameters.values()) / tokens
    if not math.isfinite(norm):
        raise UserError(f"step {optimizer.steps + 1}: the norm of the gradient is {norm}; {WHAT_HELPS}")
    optimizer.step(grad_scale=min(1.0, max_norm / max(norm, SMALLEST)) / tokens)
    optimizer.zero_grad()
    return norm


def _flat(metrics: Metrics) -> np.ndarray[Any, Any]:
    return np.concatenate([np.empty(0), *(array.reshape(-1) for array in metrics.values())])


def _as_named(flat: np.ndarray[Any, Any], like: Metrics) -> dict[str, Any]:
    """The numbers under their names again, as lists of integers in the shapes of `like`."""
    named, start = {}, 0
    for name, array in like.items():
        part = flat[start : start + array.size].reshape(array.shape)
        named[name], start = part.astype(np.int64).tolist(), start + array.size
    return named


def _taken(parameters: list[Tensor]) -> list[Array]:
    """The gradients, moved out of the parameters; an absent one is zeros."""
    taken = []
    for parameter in parameters:
        absent = parameter.grad is None
        taken.append(array_module(parameter.data).zeros_like(parameter.data) if absent else parameter.grad)
        parameter.grad = None
    return taken


def _over_ranks(gradients: TreeSum, tree: ReductionTree, comm: Communicator) -> list[Array]:
    """Their sums over all ranks. Each of a rank's subtotals travels as one flat array."""
    if comm.size == 1:
        return gradients.total()
    subtotals = gradients.subtotals()
    like = subtotals[0]
    flat = [np.concatenate([to_numpy(gradient).reshape(-1) for gradient in subtotal]) for subtotal in subtotals]
    total = tree.all_reduce(flat, comm)
    pieces = np.split(total, np.cumsum([gradient.size for gradient in like])[:-1])
    return [
        to_device(piece.reshape(gradient.shape), device_of(gradient))
        for piece, gradient in zip(pieces, like, strict=True)
    ]
