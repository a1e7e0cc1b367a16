"""What an adapter is like: how large, how strong, and on which layers."""

from __future__ import annotations

import math
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from scratchgrad.errors import UserError, quoted

ALL_LINEAR = "all-linear"


class AdapterConfig(BaseModel):
    """Of LoRA (Hu et al. 2021), which adds scaling * B @ A to a weight; B (out, rank), A (rank, in).

    scaling: alpha / rank; alpha / sqrt(rank) with use_rslora (Kalajdzievski 2023). use_dora (Liu et al. 2024): the sum
    keeps its direction alone, and the length of each of its rows is trained apart. dropout: of what A reads.

    targets: "all-linear", every linear layer but the output layer and heads; or patterns of names of layers, ours
    ('decoder.layers.0.attention.qkv') or Hugging Face's ('model.layers.0.self_attn.q_proj'): a whole name, its end
    ('q_proj', as PEFT's target_modules), or one with * and ?. modules_to_save: names of modules that are trained
    whole, and saved with the adapter; None: the model's head that classifies, where it has one.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    rank: int = Field(default=8, gt=0, le=2**16)
    alpha: float = Field(default=16.0, gt=0)
    dropout: float = Field(default=0.0, ge=0, lt=1)
    targets: tuple[str, ...] = Field(default=(ALL_LINEAR,), min_length=1)
    use_rslora: bool = False
    use_dora: bool = False
    modules_to_save: tuple[str, ...] | None = None

    @property
    def scaling(self) -> float:
        """What the product B @ A is multiplied by."""
        return self.alpha / (math.sqrt(self.rank) if self.use_rslora else self.rank)

    @classmethod
    def checked(cls, values: dict[str, Any]) -> Self:
        """The config of these values; a UserError names the first that does not do."""
        try:
            return cls(**values)
        except ValidationError as error:
            fault = error.errors()[0]
            name = ".".join(map(str, fault["loc"]))
            raise UserError(f"adapter.{name} = {quoted(fault['input'])}: {fault['msg']}") from None
