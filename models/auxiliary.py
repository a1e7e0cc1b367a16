"""What a forward pass yields beside its result: auxiliary losses, and the load of experts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from scratchgrad import Tensor
from scratchgrad.backend import Array, to_numpy
from scratchgrad.nn import Module

Metrics = dict[str, np.ndarray[Any, Any]]  # integers by name, which add up over the parts of a batch


class ExpertLoad(NamedTuple):
    """How a layer of experts was used: integers."""

    tokens_per_expert: Array  # (expert,): how often tokens chose each
    dropped: Array  # one number: the choices that exceeded an expert's capacity


@dataclass
class AuxOutputs:
    """The caller makes one for a forward pass and hands it on; modules append to it.

    losses: one number of each layer that has any, to be minimised with the model's own. loads: by layer, for the log. A
    block that is recomputed writes its load a second time, the same one.
    """

    losses: list[Tensor] = field(default_factory=list)
    loads: dict[Module, ExpertLoad] = field(default_factory=dict)

    def mean_loss(self) -> Tensor:
        """Over layers; there must be one."""
        total = self.losses[0]
        for loss in self.losses[1:]:
            total = total + loss
        return total / len(self.losses)

    def add_to(self, loss: Tensor, num_targets: int) -> Tensor:
        """`loss`, a sum over targets, plus the mean over layers of `losses` times the number of targets.

        Divided by that number it is the mean loss plus the mean auxiliary loss. `loss` itself where no layer has any.
        """
        return loss + self.mean_loss() * num_targets if self.losses else loss

    def metrics(self) -> Metrics:
        """expert_load (layers, experts) and dropped_tokens (layers,), integers; nothing where there are no experts."""
        if not self.loads:
            return {}
        tokens_per_expert, dropped = zip(*self.loads.values(), strict=True)
        return {
            "expert_load": np.stack([to_numpy(array) for array in tokens_per_expert]),
            "dropped_tokens": np.array([int(number) for number in dropped]),
        }
