"""Models from one form into another: Hugging Face's directories and llama2.c's files, each with its tokenizer."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from scratchgrad import models
from scratchgrad.errors import UserError
from scratchgrad.models import Model
from scratchgrad.models.shards import Dtype
from scratchgrad.tools import tokenizer as tokenizers
from scratchgrad.tools.loading import verified
from scratchgrad.tools.runs import model_directory
from scratchgrad.tools.tokenizer import Tokenizer

BIN = "tokenizer.bin"
JSON = "tokenizer.json"
MERGES = ("merges.txt", "vocab.bpe")  # with the vocabulary of GPT-2 beside them
# As llama2.c trains and samples: a text begins with 1, and the next one's begin ends it; Llama 2 itself ends with 2.
OF_LLAMA2C = {"bos_token_id": 1, "eos_token_id": [1, 2]}


class LoadedModel(NamedTuple):
    """A model that was read, with what stood beside it."""

    model: Model
    generation_config: dict[str, Any]
    tokenizer: Tokenizer | None
    tokenizer_file: Path | None


def read_source(path: Path, tokenizer_file: Path | None = None) -> LoadedModel:
    """A model directory, a run's newest checkpoint, or a file of llama2.c, with the tokenizer beside it or another one.

    UserError where a file is damaged, or the tokenizer has ids that the model does not know.
    """
    if path.is_file():
        model: Model = models.read_llama2c(path)
        folder, names, generation_config = path.parent, [BIN], OF_LLAMA2C
    else:
        folder, names = verified(model_directory(path)), [JSON, BIN, "tokenizer.model", "vocab.txt", *MERGES]
        model = models.load(folder)
        generation_config = models.load_generation_config(folder, model.config.vocab_size)
    file = tokenizer_file or next((folder / name for name in names if (folder / name).exists()), None)
    tokenizer = None if file is None else tokenizers.load(file)
    if tokenizer is not None and tokenizer.vocab_size > model.config.vocab_size:
        raise UserError(
            f"'{file}' has {tokenizer.vocab_size:,} tokens, and the model was made for {model.config.vocab_size:,}: "
            "they do not belong together"
        )
    return LoadedModel(model, generation_config, tokenizer, file)


def to_hugging_face(source: LoadedModel, folder: Path, *, dtype: Dtype = "float32", say: Callable[[str], None]) -> None:
    """Write a directory that transformers opens; UserError for a model that Hugging Face has no class for."""
    reason = source.model.config.hugging_face_refusal()
    if reason is not None:
        raise UserError(f"{reason}: the model can be used here, and not be converted")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"'{folder}' is there already: name a folder that is new or empty")
    models.save(source.model, folder, source.generation_config or None, dtype=dtype)
    _write_tokenizer(source, folder / JSON, say)


def to_llama2c(source: LoadedModel, path: Path, *, version: int = 0, say: Callable[[str], None]) -> None:
    """Write a file that run.c opens, and a tokenizer.bin beside it where the tokenizer is of that kind."""
    for file in (path, path.with_name(BIN)):
        if file.exists():
            raise UserError(f"'{file}' is there already: name a file in a folder where none is")
    path.parent.mkdir(parents=True, exist_ok=True)
    models.write_llama2c(source.model, path, version=version)
    _write_tokenizer(source, path.with_name(BIN), say)


def _write_tokenizer(source: LoadedModel, target: Path, say: Callable[[str], None]) -> None:
    """The same bytes where the form is the same. A form that cannot hold it is reported; the model is of use."""
    if source.tokenizer is None or source.tokenizer_file is None:
        say(f"no {target.name} was written: there is no tokenizer beside the model")
    elif target.name == BIN and (own := source.tokenizer_file.with_name(BIN)).exists():
        shutil.copyfile(own, target)  # with scores, which a tokenizer.json beside it has lost
    elif source.tokenizer_file.suffix == target.suffix:
        shutil.copyfile(source.tokenizer_file, target)
        if target.name == JSON:
            tokenizers.save_config(source.tokenizer, target.parent)
    else:
        try:
            tokenizers.save(source.tokenizer, target.parent if target.name == JSON else target)
        except UserError as reason:
            say(f"no {target.name} was written: {reason}")
        if source.tokenizer_file.suffix == ".bin":  # for the way back, with its scores
            shutil.copyfile(source.tokenizer_file, target.with_name(BIN))
