"""From examples to token stores: how text is laid out for a model, what is validation, how sources are mixed."""

from scratchgrad.tools.data.mixture import Mixture
from scratchgrad.tools.data.prepare import Prepared, prepare
from scratchgrad.tools.data.split import TrainValidationSplit, train_validation_split
from scratchgrad.tools.data.text_layout import TextLayout
from scratchgrad.tools.data.token_store import TokenStore, TokenStoreWriter, write_token_store
from scratchgrad.tools.data.tokenized import TokenizedExample
from scratchgrad.tools.text import Example

__all__ = [
    "Example",
    "Mixture",
    "Prepared",
    "TextLayout",
    "TokenStore",
    "TokenStoreWriter",
    "TokenizedExample",
    "TrainValidationSplit",
    "prepare",
    "train_validation_split",
    "write_token_store",
]
