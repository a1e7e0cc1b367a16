"""Text in, batches out: sources of documents, token files on disk, and which tokens a step sees."""

from scratchgrad.train.data.batches import Batches, HeldOut, TrainBatches, held_out_batches
from scratchgrad.train.data.prepare import Prepared, prepare
from scratchgrad.train.data.sources import Document, FilesSource, Source, StdlibSource

__all__ = [
    "Batches", "Document", "FilesSource", "HeldOut", "Prepared", "Source", "StdlibSource", "TrainBatches",
    "held_out_batches", "prepare",
]  # fmt: skip
