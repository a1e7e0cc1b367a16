"""Text in, batches out: sources of documents, token files on disk, and what a step asks about which tokens."""

from scratchgrad.train.data.batches import Batches, HeldOut, TrainBatches, held_out_batches
from scratchgrad.train.data.masked import MaskedNextSentence, MaskedTokens
from scratchgrad.train.data.objective import NextToken, Objective, count_targets, on_device
from scratchgrad.train.data.prepare import Prepared, prepare
from scratchgrad.train.data.sources import Document, FilesSource, Source, StdlibSource

__all__ = [
    "Batches", "Document", "FilesSource", "HeldOut", "MaskedNextSentence", "MaskedTokens", "NextToken", "Objective",
    "Prepared", "Source", "StdlibSource", "TrainBatches", "count_targets", "held_out_batches", "on_device", "prepare",
]  # fmt: skip
