"""Token stores in, batches out: what a step asks about which tokens."""

from scratchgrad.train.data.batches import Batches, TrainBatches, Validation, validation_batches
from scratchgrad.train.data.masked import MaskedNextSentence, MaskedTokens
from scratchgrad.train.data.objective import NextToken, Objective, count_targets, on_device
from scratchgrad.train.data.pairs import PairBatches, Pairs, validation_pairs
from scratchgrad.train.data.spans import Spans

__all__ = [
    "Batches",
    "MaskedNextSentence",
    "MaskedTokens",
    "NextToken",
    "Objective",
    "PairBatches",
    "Pairs",
    "Spans",
    "TrainBatches",
    "Validation",
    "count_targets",
    "on_device",
    "validation_batches",
    "validation_pairs",
]  # fmt: skip
