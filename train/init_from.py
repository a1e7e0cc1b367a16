"""Training that begins from a model: `train.init_from` of a recipe, resolved before the run, its weights taken over.

A recipe is resolved once: the model's sizes, its tokenizer and the hash of its files go into it, so that the run's
recipe.yaml says by itself what is trained, and a resume or another rank finds out where the files have changed.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from scratchgrad import models
from scratchgrad.errors import UserError, quoted
from scratchgrad.files import sha256_of
from scratchgrad.models import Decoder, DecoderForSequenceClassification, Model, Transfer
from scratchgrad.models.adapters import is_adapter, plain_layers
from scratchgrad.models.experts import MOE_PREFIX
from scratchgrad.models.families import families
from scratchgrad.models.shards import weight_files
from scratchgrad.tools import tokenizer as tokenizers
from scratchgrad.tools.loading import (
    begin_of_texts,
    check_vocabulary,
    read_generation_config,
    read_model,
    tokenizer_beside,
)
from scratchgrad.tools.runs import model_directory
from scratchgrad.tools.tokenizer import Tokenizer
from scratchgrad.train.adapter import begin_adapter
from scratchgrad.train.chat_recipe import tokens_of
from scratchgrad.train.objectives import objective_for, objectives
from scratchgrad.train.recipe import Recipe, TrainRecipe

LEARNING_RATE_SHARE = 0.1  # of the default for fresh weights
# Keys of `model` that may differ from the source's: they change no weight that it has, and nothing that it computes.
MAY_DIFFER = {
    "architectures", "id2label", "initializer_range", "label2id", "problem_type", "router_aux_loss_coef",
    "router_z_loss_coef",
}  # fmt: skip
MOST_NAMES = 4  # that a line tells

Values = dict[str, Any]


def resolve(values: Values) -> Values:
    """The sections of a recipe, with all that `train.init_from` says of them; as they are without it, or once resolved.

    Of a run the newest checkpoint is meant from then on. UserError where the source cannot be read, or a section says
    something else than it.
    """
    train = values.get("train", {})
    if not isinstance(train.get("init_from"), str) or train.get("init_sha256") is not None:
        return values
    source = source_of(train["init_from"])
    shapes = _shapes(source)
    target = _class_to_train(shapes, values.get("model", {}), train.get("objective"))
    tokenizer, vocab_size = _tokenizer_section(source, shapes, target, values)
    model = _model_section(source, shapes, target, values.get("model", {})) | {"vocab_size": vocab_size}
    models.match_weights(shapes, target.with_shapes_only(models.config_from_dict(model)))
    defaults = {
        "learning_rate": LEARNING_RATE_SHARE * TrainRecipe.model_fields["learning_rate"].default,
        "context": min(TrainRecipe.model_fields["context"].default, shapes.config.max_position_embeddings),
    }
    train = {**defaults, **train, "init_from": str(source), "init_sha256": hash_of(source)}
    return {**values, "model": model, "tokenizer": tokenizer, "train": train}


def start_from(model: Model, recipe: Recipe) -> list[str]:
    """Give a fresh model the weights of the recipe's `train.init_from`, if any; what is to be told of it, line by line.

    UserError where the source's files are not those that the recipe knows.
    """
    train = recipe.train
    if train.init_from is None:
        return []
    source = source_of(train.init_from)
    if hash_of(source) != train.init_sha256:
        raise UserError(
            f"the model in '{source}' is not the one that this recipe began with (train.init_sha256): bring its files "
            "back, or begin a recipe anew with train.init_from alone"
        )
    old = read_model(source)[0]
    with plain_layers(model):
        transfer = models.transfer_weights(old, model)
    begin_adapter(model, transfer)
    return _told(source, old, model, transfer)


def source_of(path: str) -> Path:
    """The .bin file of llama2.c, or the model directory; of a run the newest checkpoint. UserError for an adapter."""
    place = Path(os.path.expanduser(path))
    source = place if place.is_file() else model_directory(place)
    if source.is_dir() and is_adapter(source):
        raise UserError(
            f"train.init_from: '{source}' holds an adapter; merge it into a model first: scratchgrad-convert {source} "
            "MODEL --to hf"
        )
    return source


def hash_of(source: Path) -> str:
    """sha256 of the model's config and weights, by the names and sums of their files."""
    if source.is_file():
        return sha256_of(source)
    whole = hashlib.sha256()
    for path in sorted([source / "config.json", *weight_files(source)]):
        whole.update(f"{path.name} {sha256_of(path)}\n".encode())
    return whole.hexdigest()


def _shapes(source: Path) -> Model:
    return models.read_llama2c(source) if source.is_file() else models.load_shapes(source)


def _class_to_train(source: Model, said: Mapping[str, Any], objective: object) -> type[Model]:
    """The class of model.architectures; else the source's own, or where the objective trains another one, that."""
    model_type = source.config.model_dump()["model_type"]
    kinds = families()[model_type.removeprefix(MOE_PREFIX)]
    own = type(source) if type(source) in kinds else kinds[0]
    if said.get("architectures") is not None:
        return models.family_of(model_type, said["architectures"])
    if (
        not isinstance(objective, str)
        or objective not in objectives()
        or issubclass(own, objectives()[objective].trains)
    ):
        return own
    trained = objectives()[objective].trains
    return next((kind for wanted in trained for kind in kinds if issubclass(kind, wanted)), own)


def _model_section(source: Path, shapes: Model, target: type[Model], said: Mapping[str, Any]) -> Values:
    own = shapes.config.model_dump(exclude_none=True)
    known = target.config_class.model_fields
    for name, value in said.items():
        if name in known and name not in MAY_DIFFER and own.get(name) != value:
            raise UserError(
                f"model.{name} = {quoted(value)}, but the model in '{source}' has {quoted(own.get(name))}: leave it out"
            )
    kept = {name: value for name, value in own.items() if name in known}
    if "id2label" in said and "label2id" not in said:
        kept.pop("label2id", None)  # of other labels
    return {**kept, **said, "architectures": [target.architecture]}


def _tokenizer_section(source: Path, shapes: Model, target: type[Model], values: Values) -> tuple[Values, int]:
    """The section, with the source's tokenizer and the special tokens that it gets; the size of the vocabulary."""
    said = values.get("tokenizer", {})
    file = tokenizer_beside(source)
    if file is None and not isinstance(said.get("path"), str):
        raise UserError(f"there is no tokenizer beside '{source}': name its file, tokenizer.path=FILE")
    strays = sorted(said.keys() - {"add_tokens"} - ({"path"} if file is None else set()))
    if strays:
        raise UserError(
            f"tokenizer.{strays[0]} has no place beside train.init_from: the tokenizer of '{source}' comes along; only "
            "tokenizer.add_tokens can be given"
        )
    file = file or Path(os.path.expanduser(said["path"]))
    tokenizer = tokenizers.load(file)
    check_vocabulary(tokenizer, file, shapes)
    added = said.get("add_tokens", [])
    if isinstance(added, list) and all(isinstance(name, str) for name in added):
        kind = objectives()[objective_for(target, values.get("train", {}).get("objective"))]
        needed = kind.special_tokens_for(target.config_class, tokenizer)
        if "chat" in kind.sections:
            needed += tokens_of(values.get("chat", {}))
        added = tokenizers.lacking_tokens(tokenizer, [*added, *needed])
        tokenizers.with_special_tokens(tokenizer, added)
    vocab_size = max(shapes.config.vocab_size, tokenizer.vocab_size + len(added))
    begin = _begin(source, tokenizer, file, target, shapes.config.vocab_size)
    return {**said, "path": str(file), "begin": begin, "add_tokens": added}, vocab_size


def _begin(source: Path, tokenizer: Tokenizer, file: Path, target: type[Model], vocab_size: int) -> str | None:
    """The name of the token that the source's texts began with; None where it is the one that ended them, too."""
    if not issubclass(target, Decoder | DecoderForSequenceClassification):
        return None
    begin = begin_of_texts(read_generation_config(source, vocab_size), tokenizer, file)
    if begin == tokenizer.end_of_text:
        return None
    return next((name for name, token in tokenizer.special_tokens.items() if token == begin), None)


def _told(source: Path, old: Model, model: Model, transfer: Transfer) -> list[str]:
    lines = [f"beginning from '{source}', a {old.architecture}: {transfer.num_copied:,} tensors are its own"]
    if transfer.grown:
        before, now = old.config.vocab_size, model.config.vocab_size
        lines.append(
            f"the vocabulary grows from {before:,} to {now:,} tokens: new rows of {_some(transfer.grown)} begin as the "
            "mean of the old ones"
        )
    if transfer.new:
        lines.append(f"drawn anew for the head of a {model.architecture}: {_some(transfer.new)}")
    if transfer.unused:
        lines.append(f"not used of the {old.architecture}: {_some(transfer.unused)}")
    return lines


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    return ", ".join(names[:MOST_NAMES]) + more
