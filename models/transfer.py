"""Weights of one model as the beginning of another: of the same sizes, under another head or with more tokens.

As in transformers, what belongs to a head that the source lacks stays as it was drawn, and what belongs to a head that
the target lacks is left; both are told. A weight of the body that is missing or left over is an error.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from scratchgrad.errors import UserError, shortened
from scratchgrad.models.model import Model
from scratchgrad.models.weights import HFTensor, hf_views

MOST_NAMES = 3  # that a sentence tells


class Transfer(NamedTuple):
    """What becomes of weights, by Hugging Face's names.

    new: of the target's head, which stay as they were drawn: the source has none, or of another shape. unused: of the
    source's head. grown: those that get rows for new tokens. num_copied: tensors that are the source's.
    """

    new: list[str]
    unused: list[str]
    grown: list[str]
    num_copied: int


def match_weights(source: Model, target: Model) -> Transfer:
    """How the source's weights fit the target, by names and shapes: both may be of `with_shapes_only`.

    UserError where a weight outside of the heads does not.
    """
    theirs = {name: view.shape for name, _, view in _by_bare_names(source, _shapes(source))}
    head, their_head = set(_head_names(target)), set(_head_names(source))
    new, grown, faults, copied = [], [], [], 0
    for name, hf_tensor, view in _by_bare_names(target, _shapes(target)):
        shape = theirs.pop(name, None)
        if shape == view.shape:
            copied += 1
        elif shape is not None and _grows(shape, view.shape, source, target):
            grown.append(hf_tensor.name)
        elif name in head:
            new.append(hf_tensor.name)
        elif shape is None:
            faults.append(f"'{shortened(hf_tensor.name, 60)}' is missing")
        else:
            faults.append(f"'{shortened(hf_tensor.name, 60)}' has shape {shape}, and {view.shape} is needed")
    faults += [f"'{shortened(name, 60)}' is left over" for name in theirs if name not in their_head]
    if faults:
        more = f"; and {len(faults) - MOST_NAMES} more" if len(faults) > MOST_NAMES else ""
        raise UserError(
            f"a {source.architecture} cannot begin a {target.architecture}: {'; '.join(faults[:MOST_NAMES])}{more}"
        )
    return Transfer(new, list(theirs), grown, copied)


def transfer_weights(source: Model, target: Model) -> Transfer:
    """Copy the source's weights into the target, whose head keeps its own where the source has none that fits.

    Rows for new tokens are the mean of the old rows, in the embedding and in the output layer. UserError as of
    `match_weights`, before anything is copied.
    """
    transfer = match_weights(source, target)
    theirs = {name: view for name, _, view in _by_bare_names(source, source.state_dict())}
    state = target.state_dict()
    new, grown = set(transfer.new), set(transfer.grown)
    for name, hf_tensor, view in _by_bare_names(target, state):
        if hf_tensor.name in grown:
            old = theirs[name]
            view[: len(old)], view[len(old) :] = old, old.mean(axis=0, dtype=np.float64)
        elif hf_tensor.name not in new:
            view[...] = theirs[name]
    target.load_state_dict(state)
    return transfer


def _grows(old: tuple[int, ...], new: tuple[int, ...], source: Model, target: Model) -> bool:
    """Is there a row for each token, and are there more tokens?"""
    before, now = source.config.vocab_size, target.config.vocab_size
    return before < now and (old[0], new[0]) == (before, now) and old[1:] == new[1:]


def _by_bare_names(model: Model, state: Mapping[str, Any]) -> Iterator[tuple[str, HFTensor, Any]]:
    """Each tensor with its view of `state`, by its name without the prefix that a model under a head has."""
    for hf_tensor, view in hf_views(state, model.weight_map(model.config)):
        yield hf_tensor.name.removeprefix(model.base_model_prefix), hf_tensor, view


def _head_names(model: Model) -> Iterator[str]:
    weight_map = model.weight_map(model.config)
    for parameter in model.head_parameters():
        yield from (hf_tensor.name.removeprefix(model.base_model_prefix) for hf_tensor in weight_map[parameter])


def _shapes(model: Model) -> dict[str, np.ndarray[Any, Any]]:
    return {name: np.broadcast_to(np.float32(0), parameter.shape) for name, parameter in model.named_parameters()}
