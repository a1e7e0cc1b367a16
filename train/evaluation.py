"""How well the model predicts text that it is not trained on: nats per target, bits per byte, and its own scores."""

from __future__ import annotations

import math

import numpy as np

from scratchgrad import fixed_weights, no_grad
from scratchgrad.models import Model
from scratchgrad.parallel import Communicator
from scratchgrad.train.batches import Validation
from scratchgrad.train.microbatches import BatchTotals, LossSums, Microbatches
from scratchgrad.train.objectives import Objective, on_device


def evaluate(
    model: Model, objective: Objective, validation: Validation, microbatches: Microbatches, comm: Communicator
) -> dict[str, float]:
    """What metrics.jsonl says of an evaluation: the same bits on any number of ranks.

    val_loss: nats per target. val_bpb: bits per byte of the text that the targets spell, where they spell all of it;
    compares across tokenizers. And of each of the objective's scores the share that is right, as val_<name>. Losses and
    scores come out of one forward pass.
    """
    model.eval()
    try:
        totals = _totals(model, objective, validation, microbatches, comm)
    finally:
        model.train()
    loss, num_targets = math.fsum(total.loss for total in totals), sum(total.num_targets for total in totals)
    evaluation = {"val_loss": loss / max(1, num_targets)}
    if validation.text_bytes is not None:
        evaluation["val_bpb"] = loss / math.log(2) / validation.text_bytes
    for name in totals[0].scores:
        right, asked = np.sum([total.scores[name] for total in totals], axis=0).tolist()
        evaluation[f"val_{name}"] = right / max(1, asked)
    return evaluation


def _totals(
    model: Model, objective: Objective, validation: Validation, microbatches: Microbatches, comm: Communicator
) -> list[BatchTotals]:
    totals = []
    with no_grad(), fixed_weights():
        for batch in validation.batches:
            sums = LossSums()
            for microbatch in microbatches.mine:
                rows = microbatches.rows_of(microbatch)
                part = on_device({name: array[rows] for name, array in batch.items()}, model.device)
                sums.add(objective.loss(model, part))
            totals.append(sums.all_reduce(comm))
    return totals
