"""What an optimizer may be given, made one thing: groups of (name, tensor) pairs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from scratchgrad.tensor import Tensor

TAKES = "model.parameters(), model.named_parameters(), or groups: [{'params': model.parameters(), 'lr': 1e-4}]"


def named_groups(params: Iterable[Any], optimizer: str) -> list[dict[str, Any]]:
    """Groups, "params" in each a list of (name or None, tensor).

    params: tensors, (name, tensor) pairs, or dicts with "params". TypeError for anything else, ValueError for a tensor
    that an op made.
    """
    if isinstance(params, Tensor | Mapping | str) or not isinstance(params, Iterable):
        hint = "; a single tensor stands in a list: [tensor]" if isinstance(params, Tensor) else ""
        raise TypeError(f"{optimizer} was given a {type(params).__name__} for its parameters; it takes {TAKES}{hint}")
    entries = list(params)
    groups = [entry for entry in entries if isinstance(entry, Mapping)]
    if not groups:
        return [{"params": [_pair(entry, optimizer) for entry in entries]}]
    if len(groups) < len(entries) or not all("params" in group for group in groups):
        raise TypeError(
            f"{optimizer} was given parameter groups of which one is no dict with 'params'; it takes {TAKES}"
        )
    return [{**group, "params": _members(group["params"], optimizer)} for group in groups]


def _members(params: Any, optimizer: str) -> list[tuple[str | None, Tensor]]:
    """The parameters of one group, which may be a single tensor."""
    if isinstance(params, Tensor):
        params = [params]
    (group,) = named_groups(params, optimizer)
    members: list[tuple[str | None, Tensor]] = group["params"]
    return members


def _pair(entry: Any, optimizer: str) -> tuple[str | None, Tensor]:
    name, tensor = entry if isinstance(entry, tuple) and len(entry) == 2 else (None, entry)
    if not isinstance(tensor, Tensor) or not isinstance(name, str | None):
        raise TypeError(f"{optimizer} was given a {type(entry).__name__} for a parameter; it takes {TAKES}")
    if not tensor.is_leaf:
        made = tensor.node.name if tensor.node is not None else ""
        raise ValueError(
            f"{optimizer} was given a tensor that '{made}' made; only leaves, such as Parameters, are optimized"
        )
    return name, tensor
