"""Giving a model an adapter, in place, and taking it away again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from scratchgrad.backend import to_device
from scratchgrad.errors import UserError
from scratchgrad.models.adapters.config import AdapterConfig
from scratchgrad.models.adapters.layers import AdaptedLayer
from scratchgrad.models.adapters.targets import ADAPTED, choose, trained_whole
from scratchgrad.models.model import Model
from scratchgrad.nn import Module, Parameter
from scratchgrad.nn.init import initial_values


def adapt(model: Model, config: AdapterConfig) -> Model:
    """Put low-rank pairs beside the layers that the config means, and freeze all else; returns the model itself.

    Until it is trained it computes what it did, bit for bit. Only pairs and the modules that are trained whole have
    requires_grad. Factors are drawn by the seed and their names. Optimizers come after it. UserError where a pattern
    means no layer that can have a pair, or one side of a tie, or where the model has an adapter already.
    """
    if is_adapted(model):
        raise UserError(f"this {model.architecture} has an adapter already: merge it, or remove it first")
    whole = trained_whole(model, config)
    chosen = choose(model, config, whole)
    device = model.device
    for parameter in model.parameters():
        parameter.requires_grad = False
    for parameter in whole.values():
        parameter.requires_grad = True
    for name, layer, parts in chosen:
        adapted = ADAPTED[type(layer)](layer, parts, config)
        adapted.training = layer.training
        adapted.set_qualified_names(name)
        for pair_name, parameter in _pair_parameters(adapted):
            if parameter.initializer is not None:
                drawn = initial_values(parameter.shape, parameter.initializer, f"{name}.{pair_name}")
                parameter.data = to_device(drawn.astype(adapted.weight.dtype), device)
        adapted.begin()
        adapted.train(layer.training)
        _replace(model, name, adapted)
    return model


def is_adapted(model: Model) -> bool:
    return any(True for _ in adapted_layers(model))


def adapted_layers(model: Model) -> Iterator[tuple[str, AdaptedLayer]]:
    """The layers that have pairs, by our names."""
    yield from ((name, module) for name, module in model.named_modules() if isinstance(module, AdaptedLayer))


def pair_parameters(model: Model) -> Iterator[tuple[str, Parameter]]:
    """The parameters of pairs, by their names in the model: all that the model without an adapter does not have."""
    for name, layer in adapted_layers(model):
        yield from ((f"{name}.{pair_name}", parameter) for pair_name, parameter in _pair_parameters(layer))


def adapter_parameters(model: Model) -> Iterator[tuple[str, Parameter]]:
    """All that is trained of an adapted model, by name: pairs, and modules that are trained whole."""
    yield from ((name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad)


@contextmanager
def plain_layers(model: Model) -> Iterator[None]:
    """Inside, the model has plain layers of the same Parameters, by which its weights can be read and written."""
    layers = list(adapted_layers(model))
    for name, layer in layers:
        _replace(model, name, layer.plain())
    try:
        yield
    finally:
        for name, layer in layers:
            _replace(model, name, layer)


def remove_adapter(model: Model) -> Model:
    """Put plain layers back, of the very weights that are there, merged or not; all of them may be trained then."""
    for name, layer in list(adapted_layers(model)):
        plain = layer.plain()
        plain.set_qualified_names(name)
        plain.train(layer.training)
        _replace(model, name, plain)
    for parameter in model.parameters():
        parameter.requires_grad = True
    return model


def _pair_parameters(layer: AdaptedLayer) -> Iterator[tuple[str, Parameter]]:
    yield from ((name, parameter) for name, parameter in layer.named_parameters() if name.startswith("pairs."))


def _replace(model: Module, name: str, new: Module) -> None:
    """Put a module into the place of the one of this name."""
    place: Any = model
    *path, last = name.split(".")
    for word in path:
        place = place[int(word)] if isinstance(place, list) else _entry(place, word)
    if isinstance(place, list):
        place[int(last)] = new
    elif isinstance(place, dict):
        place[last] = new
    else:
        setattr(place, last, new)


def _entry(place: Any, word: str) -> Any:
    return place[word] if isinstance(place, dict) else getattr(place, word)
