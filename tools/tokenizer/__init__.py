"""The tokenizer: byte-level BPE, trained here or read from a Hugging Face tokenizer.json."""

from scratchgrad.tools.tokenizer.hugging_face import load, save
from scratchgrad.tools.tokenizer.patterns import PATTERNS
from scratchgrad.tools.tokenizer.tokenizer import StreamDecoder, Tokenizer
from scratchgrad.tools.tokenizer.training import END_OF_TEXT, train_bpe

__all__ = ["END_OF_TEXT", "PATTERNS", "StreamDecoder", "Tokenizer", "load", "save", "train_bpe"]
