"""How well the model tells text that it is not trained on: nats per token, and bits per byte of text."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from scratchgrad import fixed_weights, no_grad
from scratchgrad.models import Model
from scratchgrad.train.data import HeldOut, on_device
from scratchgrad.train.gradients import Shards
from scratchgrad.train.ranks import Ranks
from scratchgrad.train.reduction import tree_sum


@dataclass(frozen=True)
class Evaluation:
    val_loss: float  # nats per target token
    val_bpb: float | None  # bits per byte of the text that the target tokens spell; compares across tokenizers


def evaluate(model: Model, held_out: HeldOut, shards: Shards, ranks: Ranks) -> Evaluation:
    """The loss on the held-out windows, added in the fixed tree of shards: the same bits on any number of ranks."""
    mine = []
    model.eval()
    with no_grad(), fixed_weights():
        for batch in held_out.batches:
            for shard in shards.mine:
                part = {name: array[shards.rows_of(shard)] for name, array in batch.items()}
                mine.append(model.loss(**on_device(part, model.device)).item())
    model.train()
    by_rank = ranks.gather_values(np.array(mine, np.float64))
    by_batch = by_rank.reshape(ranks.size, len(held_out.batches), len(shards.mine)).swapaxes(0, 1)
    loss = math.fsum(tree_sum(batch.reshape(-1).tolist()) for batch in by_batch)
    bits = loss / math.log(2)
    return Evaluation(loss / held_out.tokens, bits / held_out.text_bytes if held_out.text_bytes is not None else None)
