"""Modules made of modules, with PyTorch's names: their children are called 0, 1, 2."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from scratchgrad.nn.module import Module


class _Row(Module):
    """Modules in an order; each is the attribute of its number, so that state_dict() names them as PyTorch does."""

    def __init__(self, modules: Iterable[Module]) -> None:
        self.extend(modules)

    def append(self, module: Module) -> None:
        if not isinstance(module, Module):
            raise TypeError(f"{type(self).__name__} holds modules, and was given a {type(module).__name__}")
        setattr(self, str(len(self)), module)

    def extend(self, modules: Iterable[Module]) -> None:
        for module in modules:
            self.append(module)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __iter__(self) -> Iterator[Module]:
        return (module for _, module in self.named_children())

    def __getitem__(self, index: int | slice) -> Any:
        """A module, or of a slice another container of the same kind."""
        modules = list(self)[index]
        return modules if isinstance(modules, Module) else self._made_of(modules)

    def _made_of(self, modules: list[Module]) -> Module:
        raise TypeError(f"{type(self).__name__} cannot be cut")


class Sequential(_Row):
    """Modules that are called one after the other, each with the result of the one before."""

    def __init__(self, *modules: Module) -> None:
        super().__init__(modules)

    def forward(self, x: Any) -> Any:
        """x: what the first module takes; returns what the last one does."""
        for module in self:
            x = module(x)
        return x

    def _made_of(self, modules: list[Module]) -> Module:
        return Sequential(*modules)


class ModuleList(_Row):
    """A list of modules. A plain list in an attribute does as well."""

    def __init__(self, modules: Iterable[Module] = ()) -> None:
        super().__init__(modules)

    def _made_of(self, modules: list[Module]) -> Module:
        return ModuleList(modules)
