"""A recipe's parts, built: the model, the optimizer and its schedule, the batches."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from scratchgrad import manual_seed, models, optim
from scratchgrad.errors import UserError
from scratchgrad.models import Model
from scratchgrad.models.block import Block
from scratchgrad.tools.data import Prepared, TextLayout, TokenizedExample, TokenStore, prepare
from scratchgrad.tools.text import Example, build_source, source_settings
from scratchgrad.tools.tokenizer import Tokenizer
from scratchgrad.train.data import (
    Batches,
    MaskedNextSentence,
    MaskedTokens,
    NextToken,
    Objective,
    PairBatches,
    Pairs,
    Spans,
    TrainBatches,
    Validation,
    validation_batches,
    validation_pairs,
)
from scratchgrad.train.data.pairs import PAD
from scratchgrad.train.recipe import Recipe, TrainRecipe

# What is asked about windows of text. Pairs of texts are no windows, and have batches of their own.
OBJECTIVES: dict[models.Objective, type[Objective]] = {
    "causal": NextToken,
    "masked": MaskedTokens,
    "masked_next_sentence": MaskedNextSentence,
    "spans": Spans,
}


def prepare_data(recipe: Recipe, say: Callable[[str], None]) -> Prepared:
    """The recipe's text as token stores, with the tokenizer that made them."""
    data, is_pairs = recipe.data, recipe.objective == "pairs"
    source = build_source(data.source, **{name: getattr(data, name) for name in source_settings(data.source)})
    return prepare(
        [source],
        Path(data.cache_dir),
        fields=("source", "target") if is_pairs else ("text",),
        encoder=_pair_encoder if is_pairs else _document_encoder,
        encoding="source and target" if is_pairs else "document",
        validation=data.validation,
        vocab_size=recipe.tokenizer.vocab_size,
        pattern=recipe.tokenizer.pattern,
        tokenizer_path=Path(recipe.tokenizer.path) if recipe.tokenizer.path is not None else None,
        special_tokens=special_tokens(recipe),
        say=say,
    )


def _document_encoder(tokenizer: Tokenizer) -> Callable[[Example], TokenizedExample]:
    layout = TextLayout(tokenizer)
    return lambda example: layout.document(example.text())


def _pair_encoder(tokenizer: Tokenizer) -> Callable[[Example], TokenizedExample]:
    layout = TextLayout(tokenizer)
    return lambda example: layout.source_and_target(example.text("source"), example.text("target"))


def special_tokens(recipe: Recipe) -> tuple[str, ...]:
    """What the tokenizer must have for the recipe's objective."""
    return (PAD,) if recipe.objective == "pairs" else OBJECTIVES[recipe.objective].special_tokens


def build_model(recipe: Recipe, tokenizer: Tokenizer) -> Model:
    """The recipe's model with fresh weights, drawn from its seed."""
    train = recipe.train
    config = recipe.model_config_for(tokenizer.vocab_size, tokenizer.padding)
    if config.vocab_size != tokenizer.vocab_size:
        raise UserError(
            f"model.vocab_size = {config.vocab_size}, but the tokenizer has {tokenizer.vocab_size} tokens; "
            "leave model.vocab_size out, and it will be the tokenizer's"
        )
    manual_seed(train.seed)
    model = models.build(config, architectures=recipe.model.get("architectures"), dropout=train.dropout)
    set_recompute(model, train.recompute, train.recompute_every)
    return model.to(train.device)


def set_recompute(model: Model, what: str, every: int | None = None) -> None:
    """Let the model forget and run again what `train.recompute` and `train.recompute_every` say."""
    model.recompute_every = {"full": 1, "every": every or 0}.get(what, 0)
    for _, module in model.named_modules():
        if isinstance(module, Block):
            module.recomputes_attention = what == "attention"


def build_optimizer(train: TrainRecipe, model: Model) -> optim.Optimizer:
    schedule = build_schedule(train)
    named = model.named_parameters()
    if train.optimizer == "sgd":
        return optim.SGD(named, schedule, momentum=train.momentum, weight_decay=train.weight_decay)
    betas = (train.beta1, train.beta2)
    return optim.AdamW(named, schedule, betas=betas, eps=train.eps, weight_decay=train.weight_decay)


def build_schedule(train: TrainRecipe) -> optim.Schedule:
    peak, warmup, ratio = train.learning_rate, train.warmup_steps, train.final_learning_rate_ratio
    if train.schedule == "constant":
        return optim.constant(peak, warmup=warmup)
    if train.schedule == "inverse_sqrt":
        return optim.inverse_sqrt(peak, warmup=warmup)
    shape = optim.cosine if train.schedule == "cosine" else optim.linear
    return shape(peak, train.steps, warmup=warmup, final_ratio=ratio)


def build_objective(recipe: Recipe, prepared: Prepared, split: str) -> Objective:
    """What the model is asked about the tokens of a split, 'train' or 'validation'."""
    train, tokens = recipe.train, store_of(prepared, split).tokens
    return OBJECTIVES[recipe.objective].of(train.context, tokens, prepared.tokenizer, train.seed)


def store_of(prepared: Prepared, split: str) -> TokenStore:
    """The store of the recipe's source."""
    (store,) = prepared.train if split == "train" else prepared.validation
    return store


def build_pairs(recipe: Recipe, prepared: Prepared, split: str) -> Pairs:
    return Pairs(store_of(prepared, split), prepared.tokenizer, recipe.train.context)


def build_batches(recipe: Recipe, prepared: Prepared) -> Batches:
    train = recipe.train
    if recipe.objective == "pairs":
        return PairBatches(build_pairs(recipe, prepared, "train"), train.batch_size, train.seed)
    objective = build_objective(recipe, prepared, "train")
    return TrainBatches(store_of(prepared, "train").tokens, objective, train.batch_size, train.seed)


def build_validation(recipe: Recipe, prepared: Prepared) -> Validation:
    """The rows that evaluations read."""
    train, lengths = recipe.train, prepared.tokenizer.byte_lengths
    if recipe.objective == "pairs":
        return validation_pairs(build_pairs(recipe, prepared, "validation"), train.batch_size, train.eval_tokens)
    objective = build_objective(recipe, prepared, "validation")
    return validation_batches(
        store_of(prepared, "validation").tokens, objective, lengths, train.batch_size, train.eval_tokens
    )
