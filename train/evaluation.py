"""How well the model tells text that it is not trained on: nats per token, bits per byte, and its own scores."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np

from scratchgrad import fixed_weights, no_grad
from scratchgrad.models import Model
from scratchgrad.parallel import Communicator, tree_sum
from scratchgrad.train.data import Validation, on_device
from scratchgrad.train.gradients import Microbatches


def evaluate(model: Model, validation: Validation, microbatches: Microbatches, comm: Communicator) -> dict[str, float]:
    """What metrics.jsonl says of an evaluation: the same bits on any number of ranks.

    val_loss: nats per target token. val_bpb: bits per byte of the text that the targets spell, where they spell all of
    it; compares across tokenizers. And the share of right answers for each of the model's scores, as val_<name>.
    """
    losses = []
    right: Counter[str] = Counter()
    asked: Counter[str] = Counter()
    model.eval()
    with no_grad(), fixed_weights():
        for batch in validation.batches:
            for microbatch in microbatches.mine:
                part = on_device(
                    {name: array[microbatches.rows_of(microbatch)] for name, array in batch.items()}, model.device
                )
                losses.append(model.loss(**part).item())
                for name, (hits, tries) in model.scores(**part).items():
                    right[name] += hits
                    asked[name] += tries
    model.train()
    all_losses = comm.all_gatherv(np.array(losses, np.float64).reshape(-1, len(microbatches.mine)).T)
    loss = math.fsum(tree_sum(batch) for batch in np.concatenate(all_losses).T.tolist())
    gathered = comm.all_gather(np.array([*right.values(), *asked.values()], np.float64))
    told = {"val_loss": loss / validation.tokens}
    if validation.text_bytes is not None:
        told["val_bpb"] = loss / math.log(2) / validation.text_bytes
    hits_and_tries = gathered.sum(axis=0).reshape(2, -1).T  # of integers: in any order the same
    return told | {
        f"val_{name}": hits / tries for name, (hits, tries) in zip(right, hits_and_tries.tolist(), strict=True)
    }
