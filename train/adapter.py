"""A run that trains an adapter: the recipe's section, and where the adapter meets the model that it begins from."""

from __future__ import annotations

import os
from typing import Literal

from pydantic import Field

from scratchgrad.errors import UserError
from scratchgrad.models import Model, Transfer
from scratchgrad.models.adapters import AdapterConfig, adapt, adapted_layers, trained_whole
from scratchgrad.models.adapters.targets import HEADS
from scratchgrad.tools.recipes import Count, Fraction, Positive, Section
from scratchgrad.train.trainable import Trainable


class AdapterRecipe(Section):
    kind: Literal["none", "lora"] = Field(
        "none", description="lora: low-rank pairs are trained, beside the frozen weights of train.init_from"
    )
    rank: Count = Field(8, description="of each pair")
    alpha: Positive = Field(16.0, description="a pair counts alpha / rank times")
    dropout: Fraction = Field(0.0, description="of what pairs read, in training")
    targets: str | list[str] = Field(
        "all-linear", description="layers that get pairs: or names, their ends or patterns, as [q_proj, v_proj]"
    )
    use_rslora: bool = Field(False, description="alpha / sqrt(rank) instead")
    use_dora: bool = Field(False, description="train the lengths of a weight's rows apart from their directions (DoRA)")
    modules_to_save: list[str] | None = Field(
        None, description="modules that are trained whole; by default the head that classifies, where there is one"
    )

    def check(self, init_from: str | None, trainable: Trainable) -> None:
        """ValueError where the section does not go with the rest of the recipe."""
        if self.kind == "none":
            if self.model_fields_set - {"kind"} and self != AdapterRecipe():
                raise ValueError("adapter has values and adapter.kind = none; give adapter.kind = lora, too")
        elif init_from is None:
            raise ValueError("adapter.kind = lora stands beside the weights of a model: give train.init_from")
        elif trainable != "all":
            raise ValueError("adapter.kind = lora chooses what is trained: leave train.trainable out")

    def config_for(self, model: Model) -> AdapterConfig:
        whole = self.modules_to_save
        if whole is None and set(model.head_modules) & set(HEADS):
            whole = [name for name in model.head_modules if getattr(model, name, None) is not None]
        values = self.model_dump(exclude={"kind"})
        targets = [self.targets] if isinstance(self.targets, str) else self.targets
        return AdapterConfig.checked({**values, "targets": targets, "modules_to_save": whole})


def add_adapter(model: Model, recipe: AdapterRecipe) -> None:
    """Freeze the model, and give it the recipe's adapter, if it wants one."""
    if recipe.kind == "lora":
        adapt(model, recipe.config_for(model))


def begin_adapter(model: Model, transfer: Transfer) -> None:
    """What an adapter has to do once its model has got its weights.

    UserError where the model has got weights that are neither the source's nor trained: a checkpoint, which holds the
    adapter alone, could not bring them back.
    """
    layers = [layer for _, layer in adapted_layers(model)]
    if not layers:
        return
    if transfer.grown:
        raise UserError(
            "adapter.kind = lora: the tokenizer has new tokens, whose rows an adapter does not hold; train the whole "
            "model on them first, or leave tokenizer.add_tokens out"
        )
    weight_map = model.weight_map(model.config)
    held = {t.name for name in trained_whole(model, layers[0].config) for t in weight_map[name]}
    if lost := [name for name in transfer.new if name not in held]:
        raise UserError(
            f"'{lost[0]}' is drawn anew, and adapter.kind = lora does not train it: name its module in "
            "adapter.modules_to_save"
        )
    for layer in layers:
        layer.begin()


def base_model(init_from: str | None) -> str | None:
    """How an adapter names the model that it belongs to: by its path from everywhere."""
    return None if init_from is None else os.path.abspath(os.path.expanduser(init_from))
