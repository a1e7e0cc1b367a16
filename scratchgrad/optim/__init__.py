"""What turns gradients into better parameters: update rules, schedules, clipping."""

from typing import TYPE_CHECKING, Any

from scratchgrad.optim.adam import Adam, AdamW
from scratchgrad.optim.clipping import clip_grad_norm_, global_norm
from scratchgrad.optim.optimizer import Optimizer
from scratchgrad.optim.schedules import Schedule, constant, cosine, inverse_sqrt, linear
from scratchgrad.optim.sgd import SGD
from scratchgrad.pytorch_names import missing_from

__all__ = [
    "SGD", "Adam", "AdamW", "Optimizer", "Schedule", "clip_grad_norm_", "constant", "cosine", "global_norm",
    "inverse_sqrt", "linear",
]  # fmt: skip

if not TYPE_CHECKING:  # a type checker knows what there is

    def __getattr__(name: str) -> Any:
        raise missing_from("scratchgrad.optim", name, __all__)
