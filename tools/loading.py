"""A model directory whole: the model, the tokenizer beside it, and what generation_config.json says."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from scratchgrad import models
from scratchgrad.errors import UserError
from scratchgrad.files import DamagedFiles, verify_manifest
from scratchgrad.files.manifest import NAME as MANIFEST
from scratchgrad.models import EncoderDecoder, Model
from scratchgrad.tools import tokenizer as tokenizers
from scratchgrad.tools.data import TextLayout
from scratchgrad.tools.runs import checkpoint_before
from scratchgrad.tools.tokenizer import Tokenizer


@dataclass(frozen=True)
class LanguageModel:
    """What it takes to turn text into more text."""

    model: Model
    tokenizer: Tokenizer
    begin: int | None  # the id that a text begins with, where the model was trained so
    stop_token_ids: frozenset[int]  # that end a text

    def prompt_ids(self, text: str) -> list[int]:
        """What a model that writes is given: the text behind its begin, or, to be answered, with its end behind it.

        Names of special tokens are ordinary text, but for the sentinels of T5 in a text that is to be answered.
        """
        layout = TextLayout(self.tokenizer, begin=self.begin)
        return layout.source(text) if isinstance(self.model, EncoderDecoder) else layout.prompt(text)


def verified(folder: Path) -> Path:
    """`folder`, once it was found whole, if it is a checkpoint; the one before it is named if it was not."""
    if (folder / MANIFEST).exists():
        try:
            verify_manifest(folder)
        except DamagedFiles as damage:
            before = checkpoint_before(folder)
            raise UserError(f"{damage}" + (f"; the one before it: --model {before}" if before else "")) from None
    return folder


def load_language_model(folder: Path) -> LanguageModel:
    """UserError where something is missing, damaged (the checkpoint before it is named) or does not fit together."""
    model, tokenizer = models.load(verified(folder)), tokenizers.load(folder)
    if tokenizer.vocab_size > model.config.vocab_size:
        raise UserError(
            f"'{folder}': the tokenizer has {tokenizer.vocab_size} tokens, and the model was made for "
            f"{model.config.vocab_size}: they do not belong together"
        )
    tokenizer.pad_to(model.config.vocab_size)
    generation_config = models.load_generation_config(folder, model.config.vocab_size)
    ends = generation_config.get("eos_token_id")
    ends = [] if ends is None else ends if isinstance(ends, list) else [ends]
    return LanguageModel(model, tokenizer, generation_config.get("bos_token_id"), frozenset(ends))
