"""The gradient of a global batch: the same bits whoever computes which part of it.

The batch is cut into a fixed number of microbatches. A microbatch's gradient does not depend on who computes it, and
microbatches are added in one fixed binary tree: inside a rank by `TreeSum`, across ranks by `Communicator.all_reduce`.
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
from scratchgrad.random import Place, drawing_at
from scratchgrad.train.data import Batches, count_targets, on_device
from scratchgrad.train.ranks import Communicator
from scratchgrad.train.reduction import TreeSum, tree_sum

WHAT_HELPS = (
    "nothing was updated. A lower train.learning_rate or a longer train.warmup_steps often helps; --resume goes on "
    "from the last checkpoint"
)
SMALLEST = 1e-30  # keeps a gradient of zeros from a division by zero


@dataclass(frozen=True)
class Microbatches:
    """How the rows of a global batch are cut: `count` microbatches of equal size, neighbours in one rank."""

    count: int
    rows: int  # of one microbatch
    mine: range  # the microbatches that this rank computes

    @classmethod
    def of(cls, batch_size: int, count: int, comm: Communicator) -> Microbatches:
        share = count // comm.size
        return cls(count, batch_size // count, range(comm.rank * share, (comm.rank + 1) * share))

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
    gradients = TreeSum()
    losses, tokens, counted = [], [], []
    for microbatch in microbatches.mine:
        rows = microbatches.rows_of(microbatch)
        batch = batches.rows(step, rows.start, rows.stop)
        with drawing_at(Place(seed, step, microbatch)):
            aux = AuxOutputs()
            loss = model.loss(**on_device(batch, model.device), aux=aux)
            loss.backward()
        losses.append(loss.item())
        tokens.append(count_targets(batch))
        counted.append(_flat(aux.metrics()))
        gradients.add(_taken(parameters))

    numbers = [losses, tokens, flags, np.sum(counted, axis=0)]
    gathered = comm.all_gather(np.concatenate(numbers, dtype=np.float64))
    by_rank = np.split(gathered, np.cumsum([len(part) for part in numbers[:-1]]), axis=1)
    all_losses, all_tokens = by_rank[0].reshape(-1), by_rank[1].sum()
    if not np.isfinite(all_losses).all():
        microbatch = int(np.flatnonzero(~np.isfinite(all_losses))[0])
        raise UserError(
            f"step {step + 1}: the loss of microbatch {microbatch} is {all_losses[microbatch]}; {WHAT_HELPS}"
        )
    for parameter, total in zip(parameters, _over_ranks(gradients.total(), comm), strict=True):
        parameter.grad = total
    raised: list[bool] = np.any(by_rank[2], axis=0).tolist()
    metrics = _as_named(by_rank[3].sum(axis=0), aux.metrics())  # exact in any order: they are integers
    return BatchResult(tree_sum(all_losses.tolist()), int(all_tokens), raised, metrics)


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


def _over_ranks(gradients: list[Array], comm: Communicator) -> list[Array]:
    """Their sums over all ranks, which travel as one flat array."""
    if comm.size == 1:
        return gradients
    flat = np.concatenate([to_numpy(gradient).reshape(-1) for gradient in gradients])
    comm.all_reduce(flat)
    pieces = np.split(flat, np.cumsum([gradient.size for gradient in gradients])[:-1])
    return [
        to_device(piece.reshape(gradient.shape), device_of(gradient))
        for piece, gradient in zip(pieces, gradients, strict=True)
    ]
