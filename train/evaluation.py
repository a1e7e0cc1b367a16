"""How well the model tells text that it is not trained on: nats per token, and bits per byte of text."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from scratchgrad import Tensor, no_grad
from scratchgrad.backend import to_device
from scratchgrad.models import Llama
from scratchgrad.train.data import HeldOut
from scratchgrad.train.gradients import Shards
from scratchgrad.train.ranks import Ranks
from scratchgrad.train.reduction import tree_sum


@dataclass(frozen=True)
class Evaluation:
    val_loss: float  # nats per target token
    val_bpb: float  # bits per byte of the text that the target tokens spell; compares across tokenizers


def evaluate(model: Llama, held_out: HeldOut, shards: Shards, ranks: Ranks) -> Evaluation:
    """The loss on the held-out windows, added in the fixed tree of shards: the same bits on any number of ranks."""
    device = model.embed_tokens.weight.device
    mine = []
    model.eval()
    with no_grad():
        for inputs, targets in held_out.batches:
            for shard in shards.mine:
                rows = shards.rows_of(shard)
                ids, wanted = (Tensor(to_device(array[rows], device)) for array in (inputs, targets))
                mine.append(model.loss(ids, wanted).item())
    model.train()
    by_rank = ranks.gather_values(np.array(mine, np.float64))
    by_batch = by_rank.reshape(ranks.size, len(held_out.batches), len(shards.mine)).swapaxes(0, 1)
    loss = math.fsum(tree_sum(batch.reshape(-1).tolist()) for batch in by_batch)
    return Evaluation(loss / held_out.tokens, loss / math.log(2) / held_out.text_bytes)
