"""What the blocks of a forward pass say beside their result."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from scratchgrad import Tensor
from scratchgrad.backend import Array, to_numpy
from scratchgrad.nn import Module

Metrics = dict[str, np.ndarray[Any, Any]]  # integers by name, which add up over the parts of a batch


class Load(NamedTuple):
    """What a layer of experts had to do."""

    chosen: Array  # (experts,): how often tokens chose each
    dropped: Array  # one number: the choices that found no room


@dataclass
class AuxOutputs:
    """losses: one of each layer that has any, to be minimised together with the model's own. loads: for the log.

    A block that is recomputed writes its load a second time, the same one.
    """

    losses: list[Tensor] = field(default_factory=list)
    loads: dict[Module, Load] = field(default_factory=dict)

    def mean_loss(self) -> Tensor:
        """The mean over layers."""
        total = self.losses[0]
        for loss in self.losses[1:]:
            total = total + loss
        return total / len(self.losses)

    def metrics(self) -> Metrics:
        """expert_load (layers, experts) and dropped_tokens (layers,), integers; nothing where there are no experts."""
        if not self.loads:
            return {}
        chosen, dropped = zip(*self.loads.values(), strict=True)
        return {
            "expert_load": np.stack([to_numpy(array) for array in chosen]),
            "dropped_tokens": np.array([int(number) for number in dropped]),
        }
