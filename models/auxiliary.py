"""What the blocks of a forward pass say beside their result."""

from __future__ import annotations

from dataclasses import dataclass, field

from scratchgrad import Tensor
from scratchgrad.backend import Array
from scratchgrad.nn import Module


@dataclass
class Auxiliary:
    """losses: to be minimised together with the model's own. loads: what each layer of experts had to do, for the log.

    A block that is recomputed writes its load a second time, the same one.
    """

    losses: list[Tensor] = field(default_factory=list)
    loads: dict[Module, Array] = field(default_factory=dict)
