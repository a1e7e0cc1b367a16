"""A recipe's model, its optimizer and its schedule, built."""

from __future__ import annotations

from scratchgrad import manual_seed, models, optim
from scratchgrad.errors import UserError
from scratchgrad.models import Model
from scratchgrad.models.block import Block
from scratchgrad.tools.tokenizer import Tokenizer
from scratchgrad.train.adapter import add_adapter
from scratchgrad.train.recipe import Recipe, TrainRecipe
from scratchgrad.train.trainable import set_trainable


def build_model(recipe: Recipe, tokenizer: Tokenizer) -> Model:
    """The recipe's model with fresh weights, drawn from its seed; those that it does not train are frozen."""
    train = recipe.train
    config = recipe.model_config_for(tokenizer.vocab_size, tokenizer.padding, tokenizer.end_of_text)
    has_spare_rows = train.init_from is not None and config.vocab_size > tokenizer.vocab_size  # as published ones do
    if config.vocab_size != tokenizer.vocab_size and not has_spare_rows:
        raise UserError(
            f"model.vocab_size = {config.vocab_size}, but the tokenizer has {tokenizer.vocab_size} tokens; "
            "leave model.vocab_size out, and it will be the tokenizer's"
        )
    manual_seed(train.seed)
    model = models.build(config, architectures=recipe.model.get("architectures"), dropout=train.dropout)
    set_recompute(model, train.recompute, train.recompute_every)
    set_trainable(model, train.trainable)
    add_adapter(model, recipe.adapter)
    return model.to(train.device)


def set_recompute(model: Model, what: str, every: int | None = None) -> None:
    """Choose what is recomputed in the backward pass; what, every: `train.recompute` and `train.recompute_every`."""
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
