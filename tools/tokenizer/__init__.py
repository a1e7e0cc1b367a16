"""Tokenizers: trained here as byte-level BPE, or read from the files of GPT-2 to GPT-4, Llama, T5 and BERT."""

from scratchgrad.tools.tokenizer.base import NAMES_OF_PADDING, StreamDecoder, Tokenizer
from scratchgrad.tools.tokenizer.batches import Batch, pad, truncate
from scratchgrad.tools.tokenizer.byte_level import ByteLevelBPE
from scratchgrad.tools.tokenizer.formats import KINDS, file_in, find_file, load, save
from scratchgrad.tools.tokenizer.growing import lacking_tokens, with_special_tokens
from scratchgrad.tools.tokenizer.hugging_face_writer import save_config
from scratchgrad.tools.tokenizer.metaspace import MetaspaceBPE
from scratchgrad.tools.tokenizer.patterns import PATTERNS
from scratchgrad.tools.tokenizer.pipeline import Pipeline
from scratchgrad.tools.tokenizer.roles import token_with_role
from scratchgrad.tools.tokenizer.templates import Encoded, Template
from scratchgrad.tools.tokenizer.training import END_OF_TEXT, train_bpe
from scratchgrad.tools.tokenizer.unigram import Unigram
from scratchgrad.tools.tokenizer.wordpiece import WordPiece

__all__ = [
    "END_OF_TEXT",
    "KINDS",
    "NAMES_OF_PADDING",
    "PATTERNS",
    "Batch",
    "ByteLevelBPE",
    "Encoded",
    "MetaspaceBPE",
    "Pipeline",
    "StreamDecoder",
    "Template",
    "Tokenizer",
    "Unigram",
    "WordPiece",
    "file_in",
    "find_file",
    "lacking_tokens",
    "load",
    "pad",
    "save",
    "save_config",
    "token_with_role",
    "train_bpe",
    "truncate",
    "with_special_tokens",
]
