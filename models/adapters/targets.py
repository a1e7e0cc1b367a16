"""Which layers of a model an adapter is for: by our names, and by those of Hugging Face's modules."""

from __future__ import annotations

import difflib
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator
from fnmatch import fnmatchcase
from typing import NamedTuple

from scratchgrad.errors import UserError, quoted
from scratchgrad.models.adapters.config import ALL_LINEAR, AdapterConfig
from scratchgrad.models.adapters.layers import AdaptedLayer, LoRAEmbedding, LoRAGroupedLinear, LoRALinear, Part
from scratchgrad.models.mixture import GroupedLinear
from scratchgrad.models.model import Model
from scratchgrad.nn import Embedding, Linear, Module, Parameter

HEADS = ("classifier", "score", "qa_outputs", "classification_head")  # trained whole where nothing else is said
OUTPUT_LAYER = "lm_head"
ADAPTED: dict[type[Module], Callable[..., AdaptedLayer]] = {
    Linear: LoRALinear,
    GroupedLinear: LoRAGroupedLinear,
    Embedding: LoRAEmbedding,
}


class Candidate(NamedTuple):
    """A layer that could have pairs, its name in our model, and all its parts."""

    name: str
    layer: Module
    parts: tuple[Part, ...]


def matches(pattern: str, name: str) -> bool:
    """Does the pattern mean what has this name: the whole of it, its end, or by * and ?"""
    return name == pattern or name.endswith(f".{pattern}") or fnmatchcase(name, pattern)


def candidates(model: Model) -> Iterator[Candidate]:
    """Every layer that pairs can stand beside, in the order of the model; tied ones are none."""
    weight_map, tied = model.weight_map(model.config), tied_layers(model)
    for name, layer in model.named_modules():
        hf_tensors = weight_map.get(f"{name}.weight")
        if type(layer) not in ADAPTED or hf_tensors is None or name in tied:
            continue
        names = [hf_tensor.name.removesuffix(".weight") for hf_tensor in hf_tensors]
        each = len(names) // (layer.groups if isinstance(layer, GroupedLinear) else 1)
        parts, start = [], 0
        for i in range(each):  # of experts, all parts of the first come before those of the second
            stop = start + hf_tensors[i].rows
            parts.append(Part(tuple(names[i::each]), start, stop, has_pair=False))
            start = stop
        yield Candidate(name, layer, tuple(parts))


def tied_layers(model: Model) -> dict[str, set[str]]:
    """Our name of each layer whose weight stands in another, too, with its names in Hugging Face's files."""
    holders: dict[int, list[str]] = defaultdict(list)
    for name, module in model.named_modules():
        if isinstance(weight := getattr(module, "weight", None), Parameter):
            holders[id(weight)].append(name)
    weight_map = model.weight_map(model.config)
    tied: dict[str, set[str]] = {}
    for names in holders.values():
        if len(names) > 1:
            (hf_tensor,) = weight_map[f"{names[0]}.weight"]
            tied[names[0]] = {hf_tensor.name.removesuffix(".weight")}
            others = {key.removesuffix(".weight") for key in hf_tensor.tied_keys}
            tied |= dict.fromkeys(names[1:], others)
    return tied


def choose(model: Model, config: AdapterConfig, whole: Collection[str] = ()) -> list[Candidate]:
    """The layers that get pairs, with those of their parts marked that do.

    whole: parameters that are trained whole, beside which there is no pair. UserError where a pattern means no layer,
    or one that cannot have a pair.
    """
    possible = [candidate for candidate in candidates(model) if f"{candidate.name}.weight" not in whole]
    found: set[tuple[str, int]] = set()
    for pattern in config.targets:
        of_pattern = {
            (candidate.name, part.start)
            for candidate in possible
            for part in candidate.parts
            if (_is_inner_linear(candidate) if pattern == ALL_LINEAR else _is_meant(pattern, candidate, part))
        }
        _check_not_tied(model, pattern)
        if not of_pattern:
            raise _means_nothing(model, pattern, possible)
        found |= of_pattern
    chosen = []
    for name, layer, parts in possible:
        marked = tuple(part._replace(has_pair=(name, part.start) in found) for part in parts)
        if any(part.has_pair for part in marked):
            chosen.append(Candidate(name, layer, marked))
            if config.use_dora and isinstance(layer, GroupedLinear):
                raise UserError(
                    f"'{name}': there is no DoRA on experts; leave adapter.use_dora out, or name other adapter.targets"
                )
    return chosen


def trained_whole(model: Model, config: AdapterConfig) -> dict[str, Parameter]:
    """The parameters of the modules that are trained whole, by our names.

    UserError where a name means no module, a part of a parameter, or one side of a tie.
    """
    weight_map, parameters = model.weight_map(model.config), dict(model.named_parameters())
    found: dict[str, Parameter] = {}
    for pattern in HEADS if config.modules_to_save is None else config.modules_to_save:
        of_pattern = {}
        for name, hf_tensors in weight_map.items():
            meant = [_is_inside(pattern, hf_tensor.name) for hf_tensor in hf_tensors]
            if _is_inside(pattern, name) or all(meant):
                of_pattern[name] = parameters[name]
            elif any(meant):
                raise UserError(
                    f"adapter.modules_to_save: {quoted(pattern)} is a part of '{name}', which is trained whole or not"
                )
        if config.modules_to_save is not None:
            _check_not_tied(model, pattern, key="adapter.modules_to_save")
            if not of_pattern:
                raise UserError(f"adapter.modules_to_save: {quoted(pattern)} is no module of a {model.architecture}")
        found |= of_pattern
    return found


def _is_inner_linear(candidate: Candidate) -> bool:
    return not isinstance(candidate.layer, Embedding) and candidate.name != OUTPUT_LAYER


def _is_meant(pattern: str, candidate: Candidate, part: Part) -> bool:
    meant = [matches(pattern, name) for name in part.names]
    if matches(pattern, candidate.name) or all(meant):
        return True
    if any(meant):
        raise UserError(
            f"adapter.targets: {quoted(pattern)} means some of the experts of '{candidate.name}', which have their "
            "pairs together; name all of them"
        )
    return False


def _is_inside(pattern: str, tensor: str) -> bool:
    """Does the pattern mean a module that the tensor stands in, at any depth?"""
    words = tensor.split(".")
    return any(matches(pattern, ".".join(words[:n])) for n in range(1, len(words)))


def _check_not_tied(model: Model, pattern: str, key: str = "adapter.targets") -> None:
    if pattern == ALL_LINEAR:
        return
    for name, hf_names in tied_layers(model).items():
        if any(matches(pattern, each) for each in (name, *hf_names)):
            raise UserError(
                f"{key}: {quoted(pattern)} means '{name}', whose weight is that of both the embedding and the output "
                "layer, so that a change of one side alone could not be merged; leave it out"
            )


def _means_nothing(model: Model, pattern: str, possible: list[Candidate]) -> UserError:
    other = next((f"'{name}', a {type(m).__name__}" for name, m in model.named_modules() if matches(pattern, name)), "")
    if other:
        return UserError(
            f"adapter.targets: {quoted(pattern)} means {other}, which can have no pair; linear layers, embeddings and "
            "experts can"
        )
    leaves = sorted({part.leaf for candidate in possible for part in candidate.parts})
    near = difflib.get_close_matches(pattern, leaves, n=1) or leaves
    names = f"did you mean {near[0]}?" if len(near) == 1 else f"it has {', '.join(near)}"
    return UserError(
        f"adapter.targets: {quoted(pattern)} is no layer of a {model.architecture} that could have a pair; {names}"
    )
