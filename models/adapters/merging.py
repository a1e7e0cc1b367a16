"""An adapter's change added to the weights themselves, so that the model computes as fast as it did without."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from scratchgrad import Tensor, no_grad
from scratchgrad.backend import Array, to_numpy
from scratchgrad.models.adapters.adapting import adapted_layers
from scratchgrad.models.model import Model

Probe = Callable[[Model], Array]


def merge(model: Model, probe: Probe | None = None) -> float | None:
    """Add every pair to its weight, in float32; a weight of another dtype is cast once, at the end.

    The model keeps its pairs, unused, and the weights as they were, so that `unmerge` gives back their very bits;
    `remove_adapter` lets go of both. probe: what the model makes of some input, as logits; returned is then the largest
    difference that merging made to it. ValueError where the adapter is merged already.
    """
    layers = [layer for _, layer in adapted_layers(model)]
    if any(layer.unmerged is not None for layer in layers):
        raise ValueError("the adapter is merged already; unmerge it first")
    before = None if probe is None else _probed(model, probe)
    for layer in layers:
        layer.unmerged, layer.weight.data = Tensor(layer.weight.data), layer.changed_weight()
    if probe is None or before is None:
        return None
    return float(np.abs(_probed(model, probe) - before).max(initial=0))


def unmerge(model: Model) -> None:
    """Give every weight its bits from before `merge`, and switch the pairs on again."""
    for _, layer in adapted_layers(model):
        if layer.unmerged is not None:
            layer.weight.data, layer.unmerged = layer.unmerged.data, None


def _probed(model: Model, probe: Probe) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    with no_grad():
        return to_numpy(probe(model)).astype(np.float64)
