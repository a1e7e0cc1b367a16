"""Which parameters of a model are trained: all, its head, its last blocks, or those whose names match patterns.

The one place that freezes. A frozen parameter has requires_grad False: it gets no gradient and no optimizer state, and
where nothing below a block is trained, no backward pass goes through that block.
"""

from __future__ import annotations

import difflib
import re
from collections import defaultdict
from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator

from scratchgrad import Tensor
from scratchgrad.errors import UserError, quoted
from scratchgrad.models import Model
from scratchgrad.models.block import Block, Stack
from scratchgrad.nn import Parameter

FORMS = "it is all, head, last:k, or a list of patterns of names, as [decoder.layers.3.*, '!*.bias']"


def _written(value: Any) -> Any:
    """`last: 2`, which YAML reads as a mapping, is last:2."""
    if isinstance(value, dict) and value.keys() == {"last"}:
        return f"last:{value['last']}"
    return value


def _known(value: str | list[str]) -> str | list[str]:
    is_known = value in ("all", "head") or re.fullmatch(r"last:[1-9]\d{0,5}", value) if isinstance(value, str) else True
    if not is_known or (isinstance(value, list) and not all(pattern.removeprefix("!") for pattern in value)):
        raise ValueError(f"train.trainable = {quoted(value)} is not known; {FORMS}")
    return value


Trainable = Annotated[str | list[str], BeforeValidator(_written), AfterValidator(_known)]


def set_trainable(model: Model, choice: str | list[str]) -> None:
    """Freeze every parameter that `train.trainable` does not choose; UserError where it chooses none."""
    chosen = chosen_parameters(model, choice)
    for name, parameter in model.named_parameters():
        parameter.requires_grad = name in chosen


def chosen_parameters(model: Model, choice: str | list[str]) -> set[str]:
    """The names of the parameters that `train.trainable` chooses, as `named_parameters` has them."""
    if choice == "all":
        return {name for name, _ in model.named_parameters()}
    if isinstance(choice, list):
        return _matched(model, choice)
    return _head(model) if choice == "head" else _last(model, int(choice.removeprefix("last:")))


def check_reached(loss: Tensor) -> None:
    """UserError where no trained parameter had a part in the loss, so that there is nothing to train."""
    if not loss.requires_grad:
        raise UserError(
            "train.trainable chooses only parameters that train.objective does not use; choose all, last:1, or other "
            "patterns"
        )


def _head(model: Model) -> set[str]:
    head = set(model.head_parameters())
    if not head:
        tied = any(len(names) > 1 for names in _names_of_parameters(model))
        reason = "the output layer is the embedding (they are tied)" if tied else "there is none behind its blocks"
        raise UserError(
            f"train.trainable = head: a {model.architecture} has no head of its own: {reason}; choose last:1"
        )
    return head


def _last(model: Model, count: int) -> set[str]:
    """Of the last blocks, of the norm behind them, and of the head. A tied output layer stays as it is."""
    blocks = [name for name, module in model.named_modules() if isinstance(module, Block)]
    if count > len(blocks):
        raise UserError(f"train.trainable = last:{count}: a {model.architecture} of this size has {len(blocks)} blocks")
    inside = [f"{name}." for name in blocks[-count:]]
    inside += [
        f"{name}.norm."
        for name, module in model.named_modules()
        if isinstance(module, Stack) and any(block.startswith(f"{name}.layers.") for block in inside)
    ]
    names = {name for name, _ in model.named_parameters() if name.startswith(tuple(inside))}
    return names | set(model.head_parameters())


def _matched(model: Model, patterns: list[str]) -> set[str]:
    """Names that one pattern matches, and none with a `!` before it; with only such, all others."""
    names_of_parameters = _names_of_parameters(model)
    all_names = [name for names in names_of_parameters for name in names]
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern.removeprefix("!")) for name in all_names):
            raise UserError(
                f"train.trainable: {quoted(pattern)} matches no parameter{_near(model, pattern, all_names)}"
            )
    wanted = [pattern for pattern in patterns if not pattern.startswith("!")] or ["*"]
    unwanted = [pattern[1:] for pattern in patterns if pattern.startswith("!")]

    def is_chosen(name: str) -> bool:
        return _matches(name, wanted) and not _matches(name, unwanted)

    chosen = set()
    for names in names_of_parameters:
        taken, left = [n for n in names if is_chosen(n)], [n for n in names if not is_chosen(n)]
        if taken and left:
            raise UserError(
                f"train.trainable takes {taken[0]} and leaves {left[0]}, which are one tied weight: take both or "
                "neither"
            )
        if taken:
            chosen.add(names[0])
    if not chosen:
        raise UserError(f"train.trainable = {quoted(patterns)} leaves no parameter to train; {FORMS}")
    return chosen


def _matches(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _near(model: Model, pattern: str, names: list[str]) -> str:
    modules = [f"{name}.*" for name, _ in model.named_modules() if name]
    near = difflib.get_close_matches(pattern.removeprefix("!"), [*modules, *names], n=3, cutoff=0.5)
    return f"; near ones are {', '.join(near)}" if near else f"; there are {', '.join(names[:3])}, ..."


def _names_of_parameters(model: Model) -> list[list[str]]:
    """Of each parameter its names, that of `named_parameters` first; a tied one has several."""
    first = {id(parameter): name for name, parameter in model.named_parameters()}
    names = defaultdict(list, {key: [name] for key, name in first.items()})
    for prefix, module in model.named_modules():
        for attribute, value in vars(module).items():
            name = f"{prefix}.{attribute}" if prefix else attribute
            if isinstance(value, Parameter) and name != first[id(value)]:
                names[id(value)].append(name)
    return list(names.values())
