"""Modules: parameters with a place in a tree, and a way to call them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import count
from typing import Any, NamedTuple, Self
from weakref import ref

import numpy as np

from scratchgrad.autograd import SCOPE, Scope
from scratchgrad.backend import device_of, to_device
from scratchgrad.nn.init import Initializer, initial_values
from scratchgrad.tensor import Tensor, raw

_calls = count()


class IncompatibleKeys(NamedTuple):
    """What `load_state_dict(strict=False)` left alone: parameters without values, and values without parameters."""

    missing_keys: list[str]
    unexpected_keys: list[str]


class Parameter(Tensor):
    """A tensor that a module owns and an optimizer changes; a leaf unless it is frozen by `requires_grad = False`.

    initializer: how it begins (see `nn.init`); None where it was made of given data.
    """

    __slots__ = ("initializer",)

    def __init__(self, data: Any, requires_grad: bool = True) -> None:
        super().__init__(data, requires_grad)
        self.initializer: Initializer | None = None

    @classmethod
    def initialized(cls, shape: tuple[int, ...], initializer: Initializer) -> Self:
        """With initial values, drawn in the order of the program; under `nn.shapes_only` with none yet."""
        parameter = cls(initial_values(shape, initializer))
        parameter.initializer = initializer
        return parameter

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        twin = super().__deepcopy__(memo)
        twin.initializer = self.initializer
        return twin


class Module:
    """A part of a model. Its parameters are the Parameters found in its attributes, lists, dicts and modules below.

    A subclass defines `forward`; calling the module calls it. A parameter that stands in two places is one parameter,
    and bears the name of the first. qualified_name: its name in the whole model, by which dropout is counted; None
    until `set_qualified_names`, which `models.build` and `models.load` call.
    """

    training = True
    qualified_name: str | None = None

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        raise TypeError(f"{type(self).__name__} defines no forward()")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        outer = SCOPE.get()
        SCOPE.set(Scope(ref(self), type(self).__name__, outer, next(_calls)))
        try:
            return self.forward(*args, **kwargs)
        finally:
            SCOPE.set(outer)

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """The modules right below, by name: `layers.0` for one in a list, `heads.qa` for one in a dict."""
        for name, value in _attributes(self):
            if isinstance(value, Module):
                yield name, value

    def named_modules(self, prefix: str = "") -> Iterator[tuple[str, Module]]:
        """This module and all below it, from the top down."""
        yield prefix, self
        for name, child in self.named_children():
            yield from child.named_modules(f"{prefix}.{name}" if prefix else name)

    def set_qualified_names(self, prefix: str = "") -> None:
        """Tell this module and all below it their names in the whole model, where this one is called `prefix`.

        A module that stands in two places bears the name of the first.
        """
        named = {id(module): (name, module) for name, module in reversed(list(self.named_modules(prefix)))}
        for name, module in named.values():
            module.qualified_name = name

    def reset_parameters(self, prefix: str = "") -> None:
        """Give every parameter its initial values, on the CPU, by the seed and its name in the whole model.

        prefix: what this module is called there, as 'decoder.layers.3'. A Parameter made of given data keeps that.
        """
        for name, parameter in self.named_parameters():
            if parameter.initializer is not None:
                full_name = f"{prefix}.{name}" if prefix else name
                parameter.data = initial_values(parameter.shape, parameter.initializer, full_name)

    def named_parameters(self) -> Iterator[tuple[str, Parameter]]:
        seen: set[int] = set()
        for prefix, module in self.named_modules():
            for name, value in _attributes(module):
                if isinstance(value, Parameter) and id(value) not in seen:
                    seen.add(id(value))
                    yield f"{prefix}.{name}" if prefix else name, value

    def parameters(self) -> Iterator[Parameter]:
        for _, parameter in self.named_parameters():
            yield parameter

    def state_dict(self) -> dict[str, np.ndarray[Any, Any]]:
        """The parameters' values by name, as numpy arrays: on the CPU the very memory that the model computes with."""
        return {name: parameter.numpy() for name, parameter in self.named_parameters()}

    def load_state_dict(self, state: Mapping[str, Any], strict: bool = True) -> IncompatibleKeys:
        """Take over values (arrays or tensors) of the same names and shapes; returns the names that do not fit.

        All that does not fit is named in one ValueError. strict=False takes what is there: only a wrong shape is one.
        """
        own = dict(self.named_parameters())
        missing, unexpected = sorted(own.keys() - state.keys()), sorted(state.keys() - own.keys())
        faults = [f"'{name}' is missing" for name in missing] if strict else []
        faults += [f"'{name}' is not a parameter of {type(self).__name__}" for name in unexpected] if strict else []
        faults += [
            f"'{name}' has shape {tuple(state[name].shape)} where {own[name].shape} is needed"
            for name in own.keys() & state.keys()
            if tuple(state[name].shape) != own[name].shape
        ]
        if faults:
            raise ValueError("; ".join(sorted(faults)))
        for name, parameter in own.items():
            if name in state:
                parameter.data = to_device(raw(state[name]).astype(parameter.dtype), device_of(parameter.data))
        return IncompatibleKeys(missing, unexpected)

    def to(self, device: str) -> Self:
        """Move every tensor of the module to 'cpu' or 'cuda', in place."""
        for _, module in self.named_modules():
            for _, value in _attributes(module):
                if isinstance(value, Tensor):
                    value.to(device)
        return self

    def train(self, mode: bool = True) -> Self:
        for _, module in self.named_modules():
            module.training = mode
        return self

    def eval(self) -> Self:
        return self.train(False)

    def zero_grad(self) -> None:
        for parameter in self.parameters():
            parameter.grad = None

    def extra_repr(self) -> str:
        """What the printed tree says of this module between its brackets."""
        own = [(name, value) for name, value in _attributes(self) if isinstance(value, Parameter)]
        return ", ".join(f"{name}={'x'.join(map(str, value.shape))}" for name, value in own)

    def __repr__(self) -> str:
        """The tree of modules with the shapes of their parameters; equal neighbours in a list stand on one line."""
        lines: list[str] = []
        for name, text in _fold([(name, repr(child)) for name, child in self.named_children()]):
            lines += f"({name}): {text}".splitlines()
        head = f"{type(self).__name__}({self.extra_repr()}"
        return head + "".join(f"\n  {line}" for line in lines) + ("\n)" if lines else ")")


def _attributes(module: Module) -> Iterator[tuple[str, Any]]:
    """(name, value) of every attribute, and of every entry of an attribute that is a list, tuple or dict."""
    for name, value in vars(module).items():
        if isinstance(value, list | tuple):
            yield from ((f"{name}.{i}", entry) for i, entry in enumerate(value))
        elif isinstance(value, dict):
            yield from ((f"{name}.{key}", entry) for key, entry in value.items())
        else:
            yield name, value


def _fold(children: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Neighbours that read alike become one line: layers.0, layers.1, layers.2 -> 'layers.0-2', '3 x Block(...)'."""
    folded: list[tuple[str, str]] = []
    runs: list[list[str]] = []
    for name, text in children:
        if folded and folded[-1][1] == text and _stem(runs[-1][0]) == _stem(name) != name:
            runs[-1].append(name)
        else:
            folded.append((name, text))
            runs.append([name])
    return [
        (name, text) if len(run) == 1 else (f"{name}-{run[-1].rpartition('.')[2]}", f"{len(run)} x {text}")
        for (name, text), run in zip(folded, runs, strict=True)
    ]


def _stem(name: str) -> str:
    return name.rpartition(".")[0] or name
