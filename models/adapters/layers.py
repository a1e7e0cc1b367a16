"""Layers with low-rank pairs beside their weight (Hu et al. 2021, "LoRA"; Liu et al. 2024, "DoRA").

Each takes the place of a plain layer, holds its very Parameters under their names, and begins with its bits: one factor
of every pair is zeros. A weight that Hugging Face stores as several (queries, keys and values; gate and up) has a pair
for each of them, by the last word of its name there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from scratchgrad import Tensor
from scratchgrad import functional as F
from scratchgrad.backend import Array, array_module
from scratchgrad.models.adapters.config import AdapterConfig
from scratchgrad.models.adapters.pairs import EmbeddingPair, GroupedPair, LinearPair
from scratchgrad.models.mixture import GroupedLinear
from scratchgrad.nn import Dropout, Embedding, Linear, Module, Parameter


class Part(NamedTuple):
    """Rows of a layer's output that are a layer of their own in Hugging Face's files.

    names: its full name there; of experts, that of each. has_pair: does it get one?
    """

    names: tuple[str, ...]
    start: int
    stop: int
    has_pair: bool

    @property
    def leaf(self) -> str:
        """The last word of its name."""
        return self.names[0].rpartition(".")[2]


class AdaptedLayer(Module):
    """What the layers with pairs share. parts: all that the layer has; pairs: of those that have one, by their leaf."""

    config: AdapterConfig
    weight: Parameter
    parts: Sequence[Part]
    pairs: Mapping[str, LinearPair | GroupedPair | EmbeddingPair]
    unmerged: Tensor | None = None  # the weight as it was, while the pairs are merged into it

    def changed_weight(self) -> Array:
        """What the weight becomes with all pairs in it, as a new array; calculated in float32 or better."""
        dtype = self.weight.dtype
        changed = self.weight.data.astype(np.result_type(dtype, np.float32))
        for part in self.parts:
            if part.has_pair:
                rows = ..., slice(part.start, part.stop), slice(None)
                changed[rows] = self.pairs[part.leaf].changed(changed[rows])
        return changed.astype(dtype, copy=False)

    def begin(self) -> None:
        """Set the lengths of DoRA to those of the weight, with which nothing changes."""
        for part in self.parts:
            if part.has_pair:
                self.pairs[part.leaf].begin(self.weight.data[..., part.start : part.stop, :])

    def stored(self) -> Iterator[tuple[str, Parameter, Array]]:
        """PEFT's name of each tensor, the parameter that holds it, and the view of the parameter's array that it is."""
        for part in self.parts:
            if part.has_pair:
                yield from self.pairs[part.leaf].stored(part.names)

    def plain(self) -> Module:
        """The layer without pairs, of the same Parameters."""
        raise TypeError(f"{type(self).__name__} defines no plain()")

    def extra_repr(self) -> str:
        return f"weight={'x'.join(map(str, self.weight.shape))}"


class LoRALinear(AdaptedLayer):
    """A Linear with pairs. weight (out_features, in_features); bias (out_features,), or None."""

    pairs: dict[str, LinearPair]

    def __init__(self, layer: Linear, parts: Sequence[Part], config: AdapterConfig) -> None:
        self.config, self.in_features, self.out_features = config, layer.in_features, layer.out_features
        self.weight, self.bias, self.parts = layer.weight, layer.bias, tuple(parts)
        self.pairs = {
            part.leaf: LinearPair(self.in_features, part.stop - part.start, config) for part in parts if part.has_pair
        }
        self.dropout = Dropout(config.dropout)

    def forward(self, x: Tensor) -> Tensor:
        """x (..., in_features) floats; returns (..., out_features)."""
        out = F.linear(x, self.weight, self.bias)
        if self.unmerged is not None:
            return out
        read = self.dropout(x)
        changes = [self._change(part, read, out) for part in self.parts]
        return out + (changes[0] if len(changes) == 1 else F.concatenate(changes, axis=-1))

    def _change(self, part: Part, x: Tensor, out: Tensor) -> Tensor:
        """What is added to this part of `out`."""
        rows = slice(part.start, part.stop)
        if not part.has_pair:
            return _zeros(out, part)
        pair = self.pairs[part.leaf]
        delta = pair.delta(x)
        if pair.magnitude is None:
            return delta
        plain = out if len(self.parts) == 1 else out[..., rows]
        plain = plain if self.bias is None else plain - self.bias[rows]
        scale = pair.scale(self.weight.data[rows])
        return plain * (scale - 1) + delta * scale

    def plain(self) -> Linear:
        layer = Linear.__new__(Linear)
        layer.in_features, layer.out_features = self.in_features, self.out_features
        layer.weight, layer.bias = self.weight, self.bias
        return layer


class LoRAGroupedLinear(AdaptedLayer):
    """A GroupedLinear, as experts are, with pairs for each group. Shapes as there."""

    pairs: dict[str, GroupedPair]

    def __init__(self, layer: GroupedLinear, parts: Sequence[Part], config: AdapterConfig) -> None:
        self.config, self.groups, self.in_features = config, layer.groups, layer.in_features
        self.weight, self.bias, self.parts = layer.weight, layer.bias, tuple(parts)
        self.pairs = {
            part.leaf: GroupedPair(self.groups, self.in_features, part.stop - part.start, config)
            for part in parts
            if part.has_pair
        }
        self.dropout = Dropout(config.dropout)

    def forward(self, x: Tensor, counts: Array) -> Tensor:
        """x (rows, in_features), the first counts[0] of the first group, and so on; returns (rows, out_features)."""
        bias = None if self.bias is None else self.bias.reshape(self.groups, -1)
        out = F.grouped_linear(x, self.weight, bias, counts=counts)
        if self.unmerged is not None:
            return out
        read = self.dropout(x)
        changes = [
            self.pairs[part.leaf].delta(read, counts) if part.has_pair else _zeros(out, part) for part in self.parts
        ]
        return out + (changes[0] if len(changes) == 1 else F.concatenate(changes, axis=-1))

    def plain(self) -> GroupedLinear:
        layer = GroupedLinear.__new__(GroupedLinear)
        layer.groups, layer.in_features = self.groups, self.in_features
        layer.weight, layer.bias = self.weight, self.bias
        return layer


class LoRAEmbedding(AdaptedLayer):
    """An Embedding with a pair. weight (num_embeddings, embedding_dim)."""

    pairs: dict[str, EmbeddingPair]

    def __init__(self, layer: Embedding, parts: Sequence[Part], config: AdapterConfig) -> None:
        self.config, self.num_embeddings, self.embedding_dim = config, layer.num_embeddings, layer.embedding_dim
        self.weight, self.padding_idx, self.parts = layer.weight, layer.padding_idx, tuple(parts)
        (part,) = self.parts
        self.pairs = {part.leaf: EmbeddingPair(self.num_embeddings, self.embedding_dim, config)}

    def forward(self, ids: Tensor) -> Tensor:
        """ids integers of any shape; returns (*ids.shape, embedding_dim). IndexError for an id that has no row."""
        out = F.embedding(self.weight, ids, padding_idx=self.padding_idx)
        if self.unmerged is not None:
            return out
        (pair,) = self.pairs.values()
        delta = pair.delta(ids, self.padding_idx)
        if pair.magnitude is None:
            return out + delta
        scale = pair.scale(self.weight.data)
        return out + (out * (scale - 1) + delta * scale)

    def plain(self) -> Embedding:
        layer = Embedding.__new__(Embedding)
        layer.num_embeddings, layer.embedding_dim = self.num_embeddings, self.embedding_dim
        layer.weight, layer.padding_idx = self.weight, self.padding_idx
        return layer


def _zeros(out: Tensor, part: Part) -> Tensor:
    """No change of this part."""
    return Tensor(array_module(out.data).zeros((*out.shape[:-1], part.stop - part.start), out.dtype))
