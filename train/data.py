"""A recipe's data: its sources as token stores, its objective, and the batches that the objective makes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from scratchgrad.ops.cross_entropy import IGNORE_INDEX
from scratchgrad.tools.data import Prepared, TextLayout, prepare
from scratchgrad.tools.tokenizer import Tokenizer
from scratchgrad.train.batches import Batches, Validation, in_full_batches
from scratchgrad.train.objectives import Objective
from scratchgrad.train.recipe import Recipe


def prepare_data(recipe: Recipe, say: Callable[[str], None], tokenizer_path: Path | None = None) -> Prepared:
    """The examples of the recipe's sources as token stores, with the tokenizer that made them.

    tokenizer_path: of the tokenizer that makes them, whatever the recipe says of one.
    """
    data, kind = recipe.data, recipe.objective_class
    if tokenizer_path is None and recipe.tokenizer.path is not None:
        tokenizer_path = Path(recipe.tokenizer.path)
    special: tuple[str, ...] = ()  # with train.init_from all that lack are added
    if recipe.train.init_from is None:
        special = kind.special_tokens + (recipe.chat.special_tokens if "chat" in kind.sections else ())
    return prepare(
        [kind.reads(source.build()) for source in data.all_sources],
        Path(data.cache_dir),
        fields=kind.fields,
        text_fields=kind.text_fields,
        encoder=lambda tokenizer: build_objective(recipe, tokenizer).encode,
        encoding=kind.encoding(recipe.model_config_for(recipe.tokenizer.vocab_size))
        + ("" if recipe.tokenizer.begin is None else f" {recipe.tokenizer.begin}")
        + (f" {recipe.chat.layout}" if "chat" in kind.sections else ""),
        validation=data.validation,
        vocab_size=recipe.tokenizer.vocab_size,
        pattern=recipe.tokenizer.pattern,
        tokenizer_path=tokenizer_path,
        special_tokens=special,
        add_tokens=recipe.tokenizer.add_tokens,
        say=say,
    )


def build_objective(recipe: Recipe, tokenizer: Tokenizer) -> Objective:
    train = recipe.train
    config = recipe.model_config_for(tokenizer.vocab_size, tokenizer.padding, tokenizer.end_of_text)
    layout = TextLayout(tokenizer, begin=begin_of(recipe, tokenizer))
    kind = recipe.objective_class
    sections = {name: getattr(recipe, name) for name in kind.sections}
    return kind(
        layout, config, context=train.context, seed=train.seed, label_smoothing=train.label_smoothing, **sections
    )


def begin_of(recipe: Recipe, tokenizer: Tokenizer) -> int | None:
    """The id of tokenizer.begin, if a recipe names one; UserError where the tokenizer has no such special token."""
    name = recipe.tokenizer.begin
    return None if name is None else TextLayout(tokenizer).special(name)


def build_batches(recipe: Recipe, objective: Objective, prepared: Prepared) -> Batches:
    return objective.batches(prepared.train, recipe.data.weights)


def build_validation(recipe: Recipe, objective: Objective, prepared: Prepared) -> Validation:
    """The rows that evaluations read: of about `train.eval_tokens` tokens of validation text."""
    train = recipe.train
    rows = objective.batches(prepared.validation, recipe.data.weights).sample(train.eval_tokens)
    batches = in_full_batches(rows, train.batch_size, objective.batch_fields)
    if not objective.reports_bits_per_byte:
        return Validation(batches)
    targets = rows["targets"]
    return Validation(batches, int(prepared.tokenizer.byte_lengths[targets[targets != IGNORE_INDEX]].sum()))
