"""Models from one form into another: Hugging Face's directories and llama2.c's files, each with its tokenizer."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from scratchgrad import Tensor, models
from scratchgrad.backend import Array
from scratchgrad.errors import UserError
from scratchgrad.files import atomic_files, machine_fault
from scratchgrad.files.atomic import STALE
from scratchgrad.files.faults import DISK
from scratchgrad.files.manifest import NAME as MANIFEST
from scratchgrad.models import EncoderDecoder, Model
from scratchgrad.models.adapters import is_adapted, merge, remove_adapter
from scratchgrad.models.shards import Dtype, weight_files
from scratchgrad.tools import tokenizer as tokenizers
from scratchgrad.tools.generation.model import evaluating
from scratchgrad.tools.loading import check_vocabulary, read_model, tokenizer_beside, tokenizer_file
from scratchgrad.tools.runs import is_run, model_directory
from scratchgrad.tools.tokenizer import Tokenizer
from scratchgrad.tools.tokenizer.files import read_file

BIN = "tokenizer.bin"
JSON = "tokenizer.json"
PROBED_TOKENS = 32
VOCABULARIES = ("vocab.json", "encoder.json")  # which are half of a tokenizer
OF_A_TOKENIZER = (
    JSON, BIN, *VOCABULARIES, "merges.txt", "vocab.bpe", "tokenizer.model", "vocab.txt", "tokenizer_config.json",
    "special_tokens_map.json", "added_tokens.json",
)  # fmt: skip


class LoadedModel(NamedTuple):
    """A model that was read, with what stood beside it.

    merged_within: of an adapter that was merged, the largest difference that merging made to logits of a probe.
    """

    model: Model
    generation_config: dict[str, Any]
    tokenizer: Tokenizer | None
    tokenizer_file: Path | None
    merged_within: float | None = None


def read_source(path: Path, tokenizer_path: Path | None = None, adapter: Path | None = None) -> LoadedModel:
    """A model directory, a run's newest checkpoint, or a file of llama2.c, with the tokenizer beside it or another one.

    An adapter is merged into the weights: the one in `adapter`, or where `path` holds one, that. UserError where a file
    is damaged, or the tokenizer has ids that the model does not know.
    """
    source = path if path.is_file() else model_directory(path)
    model, generation_config = read_model(source, adapter)
    merged_within = None
    if is_adapted(model):
        merged_within = merge(model, _probe)
        remove_adapter(model)
    file = tokenizer_beside(source) if tokenizer_path is None else tokenizer_file(tokenizer_path)
    tokenizer = None if file is None else tokenizers.load(file)
    if tokenizer is not None and file is not None:
        check_vocabulary(tokenizer, file, model)
    return LoadedModel(model, generation_config, tokenizer, file, merged_within)


def _probe(model: Model) -> Array:
    """What the model makes of a few tokens: all of its outputs in one row."""
    count = min(PROBED_TOKENS, model.config.max_position_embeddings)
    ids = Tensor(np.random.default_rng(0).integers(0, model.config.vocab_size, (1, count)))
    with evaluating(model):
        out = model(ids, ids) if isinstance(model, EncoderDecoder) else model(ids)
    return np.concatenate([part.numpy().reshape(-1) for part in (out if isinstance(out, tuple) else (out,))])


def to_hugging_face(
    source: LoadedModel, folder: Path, *, dtype: Dtype = "float32", overwrite: bool = False, say: Callable[[str], None]
) -> None:
    """Write a directory that transformers opens; UserError for a model that Hugging Face has no class for.

    overwrite: a model directory that is there already is written over, and loses what belonged to its old model.
    """
    reason = source.model.config.hugging_face_refusal()
    if reason is not None:
        raise UserError(f"{reason}: the model can be used here, and not be converted")
    if folder.exists() and not folder.is_dir():
        raise UserError(f"'{folder}' is a file: name a folder")
    with _tells_write_faults(folder):
        gone: list[Path] = []
        if folder.exists() and set(folder.iterdir()) != set(folder.glob(f"{STALE}*")):
            if not overwrite:
                raise UserError(f"'{folder}' is there already: name a folder that is new or empty, or give --overwrite")
            _check_is_a_model_directory(folder)
            gone = weight_files(folder)
            if source.tokenizer_file is None or source.tokenizer_file.resolve().parent != folder.resolve():
                gone += [folder / name for name in (*OF_A_TOKENIZER, "generation_config.json")]
        with atomic_files(folder, gone=gone if overwrite else None) as unfinished:
            models.save(source.model, unfinished, source.generation_config or None, dtype=dtype)
            _write_tokenizer(source, unfinished / JSON, say)


def to_llama2c(
    source: LoadedModel, path: Path, *, version: int = 0, overwrite: bool = False, say: Callable[[str], None]
) -> None:
    """Write a file that run.c opens, and a tokenizer.bin beside it where the tokenizer is of that kind.

    overwrite: both are written over where they are there already.
    """
    if path.is_dir():
        raise UserError(f"'{path}' is a folder: name a file, as in {path / 'model.bin'}")
    with _tells_write_faults(path):
        for file in (path, path.with_name(BIN)):
            if os.path.lexists(file) and not overwrite:
                raise UserError(
                    f"'{file}' is there already: name a file in a folder where none is, or give --overwrite"
                )
        with atomic_files(path.parent, gone=() if overwrite else None) as unfinished:
            models.write_llama2c(source.model, unfinished / path.name, version=version)
            _write_tokenizer(source, unfinished / BIN, say)


@contextmanager
def _tells_write_faults(target: Path) -> Iterator[None]:
    """What the system says against writing is a UserError that names what was to be written."""
    try:
        yield
    except OSError as error:
        fault = machine_fault(error) if error.errno not in DISK else None
        raise fault or UserError(
            f"'{target}' could not be written: {error.strerror or error}; nothing of it is left. Make room or get "
            "permission there, or name another place"
        ) from None


def _check_is_a_model_directory(folder: Path) -> None:
    """UserError where writing over the folder would harm something else: files of a user, a run, a checkpoint."""
    if is_run(folder) or (folder / MANIFEST).exists():
        raise UserError(f"'{folder}' is a run or a checkpoint, which --overwrite would damage: name another folder")
    if not (folder / "config.json").is_file():
        raise UserError(f"'{folder}' holds something else than a model, which --overwrite leaves alone: name another")


def _write_tokenizer(source: LoadedModel, target: Path, say: Callable[[str], None]) -> None:
    """The same bytes where the form is the same. A form that cannot hold it is reported; the model is of use."""
    file = source.tokenizer_file
    if source.tokenizer is None or file is None:
        say(f"no {target.name} was written: there is no tokenizer beside the model")
    elif target.name == BIN and (own := file.with_name(BIN)).exists():
        target.write_bytes(read_file(own))  # with scores, which a tokenizer.json beside it has lost
    elif file.suffix == target.suffix and file.name not in VOCABULARIES:
        target.write_bytes(read_file(file))
        if target.name == JSON:
            tokenizers.save_config(source.tokenizer, target.parent)
    else:
        try:
            tokenizers.save(source.tokenizer, target.parent if target.name == JSON else target)
        except UserError as reason:
            say(f"no {target.name} was written: {reason}")
        if file.suffix == ".bin":  # for the way back, with its scores
            target.with_name(BIN).write_bytes(read_file(file))
