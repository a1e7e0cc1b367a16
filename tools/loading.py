"""A model whole: its weights, the tokenizer beside it, and the tokens that its texts begin and end with.

Which these are is looked for as in transformers: in generation_config.json, in config.json, in tokenizer_config.json,
and at last among the special tokens by their names.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scratchgrad import models
from scratchgrad.errors import UserError, quoted
from scratchgrad.files import DamagedFiles, verify_manifest
from scratchgrad.files.manifest import NAME as MANIFEST
from scratchgrad.models import EncoderDecoder, Model
from scratchgrad.models.adapters import base_model_of, is_adapter, load_adapter
from scratchgrad.tools import tokenizer as tokenizers
from scratchgrad.tools.data import TextLayout
from scratchgrad.tools.runs import checkpoint_before, is_run, model_directory, newest_checkpoint
from scratchgrad.tools.tokenizer import Tokenizer

# As llama2.c trains and samples: a text begins with 1, and the next one's begin ends it; Llama 2 itself ends with 2.
OF_LLAMA2C = {"bos_token_id": 1, "eos_token_id": [1, 2]}
BESIDE_A_FILE = ("tokenizer.bin", "tokenizer.model", "tokenizer.json")


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


def tokenizer_beside(model: Path) -> Path | None:
    """The tokenizer's file in a model directory, or beside a .bin file of llama2.c; None where there is none.

    An adapter without one has that of its model. Beside a .bin file a single tok*.bin is one, too, as llama2.c calls
    those of smaller vocabularies.
    """
    if model.is_dir():
        own = tokenizers.find_file(model)
        return tokenizer_beside(base_directory(model)) if own is None and is_adapter(model) else own
    named = [model.with_name(name) for name in BESIDE_A_FILE]
    others = [path for path in sorted(model.parent.glob("tok*.bin")) if path != model and path not in named]
    return next((path for path in named if path.exists()), others[0] if len(others) == 1 else None)


def tokenizer_file(path: Path) -> Path:
    """The file of a tokenizer that a user means: itself, or that in a folder or in a run's newest checkpoint."""
    folder = newest_checkpoint(path) if is_run(path) else path
    return tokenizers.file_in(folder) if folder.is_dir() else path


def read_model(path: Path, adapter: Path | None = None) -> tuple[Model, dict[str, Any]]:
    """The model in a directory or in a .bin file of llama2.c, and its generation config; UserErrors as of both.

    adapter: the folder or run of an adapter to put beside it. Where `path` holds an adapter, the model that it names is
    read with it.
    """
    if path.is_dir() and is_adapter(path):
        model, generation_config = _read_adapted(verified(path))
    else:
        model = models.read_llama2c(path) if path.is_file() else models.load(verified(path))
        generation_config = read_generation_config(path, model.config.vocab_size)
    if adapter is not None:
        load_adapter(model, adapter_directory(adapter))
    return model, generation_config


def adapter_directory(path: Path) -> Path:
    """The folder of an adapter that a user means: `path`, or a run's newest checkpoint; UserError where it has none."""
    folder = model_directory(path)
    if not is_adapter(folder):
        raise UserError(f"'{folder}' holds a whole model and no adapter: it is a --model, or SRC")
    return verified(folder)


def base_directory(adapter: Path) -> Path:
    """The model directory or file that an adapter names as its base; UserError where it is not to be found here."""
    told = base_model_of(adapter)
    if told is None:
        raise UserError(f"the adapter in '{adapter}' does not name its model: give the model, and --adapter {adapter}")
    place = Path(told).expanduser()
    if not place.exists():
        raise UserError(
            f"the adapter in '{adapter}' belongs to the model {quoted(told, 200)}, which is not there: give a model "
            f"with the same weights, and --adapter {adapter}"
        )
    base = place if place.is_file() else model_directory(place)
    if base.is_dir() and is_adapter(base):
        raise UserError(
            f"the adapter in '{adapter}' stands beside another one, '{base}': merge that into a model first"
        )
    return base


def _read_adapted(folder: Path) -> tuple[Model, dict[str, Any]]:
    """The base model of an adapter with it; of a checkpoint under the head that config.json there describes."""
    model, generation_config = read_model(base_directory(folder))
    if (folder / "config.json").exists():
        base, model = model, models.load_config(folder)
        model.reset_parameters()  # for memory: each is the base model's or the adapter's afterwards
        models.transfer_weights(base, model)
        generation_config = read_generation_config(folder, model.config.vocab_size)
    return load_adapter(model, folder), generation_config


def load_language_model(path: Path, tokenizer_path: Path | None = None, adapter: Path | None = None) -> LanguageModel:
    """path: of a model directory, or of a .bin file of llama2.c. tokenizer_path: of another tokenizer than the one
    beside it. adapter: as of `read_model`. UserError where something is missing, damaged (the checkpoint before it is
    named) or does not fit together.
    """
    model, generation_config = read_model(path, adapter)
    file = tokenizer_beside(path) if tokenizer_path is None else tokenizer_file(tokenizer_path)
    if file is None:
        raise UserError(f"there is no tokenizer beside '{path}': name its file, --tokenizer PATH ({tokenizers.KINDS})")
    tokenizer = tokenizers.load(file)
    check_vocabulary(tokenizer, file, model)
    tokenizer.pad_to(model.config.vocab_size)
    begin, ends = begin_of_texts(generation_config, tokenizer, file), generation_config.get("eos_token_id")
    if ends is None:
        ends = tokenizers.token_with_role(tokenizer, "eos_token", file.parent)
    ends = [] if ends is None else ends if isinstance(ends, list) else [ends]
    return LanguageModel(model, tokenizer, begin, frozenset(ends))


def begin_of_texts(generation_config: dict[str, Any], tokenizer: Tokenizer, file: Path) -> int | None:
    """The id that a decoder's texts begin with, where its files tell one; file: that the tokenizer was read from."""
    begin: int | None = generation_config.get("bos_token_id")
    return begin if begin is not None else tokenizers.token_with_role(tokenizer, "bos_token", file.parent)


def read_generation_config(path: Path, vocab_size: int) -> dict[str, Any]:
    """Of a directory, or of a .bin file of llama2.c."""
    return dict(OF_LLAMA2C) if path.is_file() else models.load_generation_config(path, vocab_size)


def check_vocabulary(tokenizer: Tokenizer, file: Path, model: Model) -> None:
    """UserError where the tokenizer, which was read from `file`, has ids that the model does not know."""
    if tokenizer.vocab_size > model.config.vocab_size:
        raise UserError(
            f"'{file}': the tokenizer has {tokenizer.vocab_size:,} tokens, and the model was made for "
            f"{model.config.vocab_size:,}: they do not belong together"
        )
