"""Text in, batches out: sources of documents, token files on disk, and what a step asks about which tokens."""

from scratchgrad.train.data.batches import Batches, TrainBatches, Validation, validation_batches
from scratchgrad.train.data.masked import MaskedNextSentence, MaskedTokens
from scratchgrad.train.data.objective import NextToken, Objective, count_targets, on_device
from scratchgrad.train.data.pairs import FilePairs, GeneratedPairs, PairBatches, Pairs, validation_pairs
from scratchgrad.train.data.prepare import Prepared, prepare
from scratchgrad.train.data.sources import Document, FilesSource, Source, StdlibSource
from scratchgrad.train.data.spans import Spans

__all__ = [
    "Batches",
    "Document",
    "FilePairs",
    "FilesSource",
    "GeneratedPairs",
    "MaskedNextSentence",
    "MaskedTokens",
    "NextToken",
    "Objective",
    "PairBatches",
    "Pairs",
    "Prepared",
    "Source",
    "Spans",
    "StdlibSource",
    "TrainBatches",
    "Validation",
    "count_targets",
    "on_device",
    "prepare",
    "validation_batches",
    "validation_pairs",
]  # fmt: skip
