"""Low-rank pairs: the two factors of a weight's change, and with DoRA the lengths of the changed weight's rows."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np

from scratchgrad import Tensor
from scratchgrad import functional as F
from scratchgrad.backend import Array, array_module
from scratchgrad.models.adapters.config import AdapterConfig
from scratchgrad.nn import Constant, Module, Normal, Parameter, Uniform

SMALLEST_LENGTH = 1e-30  # keeps a row of zeros one

Stored = Iterator[tuple[str, Parameter, Array]]


class LinearPair(Module):
    """scaling * B @ A, by which a weight (out, in) changes. lora_A (rank, in); lora_B (out, rank).

    magnitude (out,): with DoRA, the lengths of the changed weight's rows; None without. A begins as PEFT's: evenly
    between -1 / sqrt(in) and 1 / sqrt(in), which is Kaiming's uniform with a = sqrt(5); B begins as zeros.
    """

    def __init__(self, in_features: int, out_features: int, config: AdapterConfig) -> None:
        self.scaling = config.scaling
        self.lora_A = Parameter.initialized((config.rank, in_features), kaiming(in_features))
        self.lora_B = Parameter.initialized((out_features, config.rank), Constant(0))
        self.magnitude = Parameter(np.ones(out_features, np.float32)) if config.use_dora else None

    def delta(self, x: Tensor) -> Tensor:
        """x (..., in) times the change; (..., out)."""
        return F.linear(F.linear(x, self.lora_A) * self.scaling, self.lora_B)

    def scale(self, weight: Array) -> Tensor:
        """DoRA's factors (out,) of the rows of weight + scaling * B @ A, which give each its trained length.

        The lengths that are divided by are constants of the backward pass, as in section 4.3 of the paper.
        """
        assert self.magnitude is not None
        return self.magnitude / Tensor(lengths(weight + self._product(weight), axis=1))

    def changed(self, weight: Array) -> Array:
        """What the weight (out, in) becomes."""
        changed = weight + self._product(weight)
        if self.magnitude is None:
            return changed
        return changed * (self.magnitude.data / lengths(changed, axis=1))[:, None]

    def begin(self, weight: Array) -> None:
        """Set the lengths of DoRA so that nothing changes as long as B is zeros."""
        if self.magnitude is not None:
            self.magnitude.data = lengths(weight + self._product(weight), axis=1)

    def stored(self, names: Sequence[str]) -> Stored:
        """PEFT's name of each tensor for a layer of this name, the parameter that holds it, and a view of its array."""
        (name,) = names
        yield f"{name}.lora_A.weight", self.lora_A, self.lora_A.data
        yield f"{name}.lora_B.weight", self.lora_B, self.lora_B.data
        if self.magnitude is not None:
            yield f"{name}.lora_magnitude_vector", self.magnitude, self.magnitude.data

    def _product(self, weight: Array) -> Array:
        return (self.lora_B.data @ self.lora_A.data) * weight.dtype.type(self.scaling)


class GroupedPair(Module):
    """A LinearPair without DoRA for each group of a GroupedLinear.

    lora_A (groups, rank, in); lora_B (groups, out, rank).
    """

    def __init__(self, groups: int, in_features: int, out_features: int, config: AdapterConfig) -> None:
        self.scaling = config.scaling
        self.lora_A = Parameter.initialized((groups, config.rank, in_features), kaiming(in_features))
        self.lora_B = Parameter.initialized((groups, out_features, config.rank), Constant(0))

    def delta(self, x: Tensor, counts: Array) -> Tensor:
        """x (rows, in), sorted by group, times the change of its group; (rows, out). counts (groups,): rows of each."""
        read = F.grouped_linear(x, self.lora_A, counts=counts) * self.scaling
        return F.grouped_linear(read, self.lora_B, counts=counts)

    def changed(self, weight: Array) -> Array:
        """What the weight (groups, out, in) becomes."""
        return weight + (self.lora_B.data @ self.lora_A.data) * weight.dtype.type(self.scaling)

    def begin(self, weight: Array) -> None:
        """There is nothing that depends on the weight."""

    def stored(self, names: Sequence[str]) -> Stored:
        """As of LinearPair, for each group's layer."""
        for n, name in enumerate(names):
            yield f"{name}.lora_A.weight", self.lora_A, self.lora_A.data[n]
            yield f"{name}.lora_B.weight", self.lora_B, self.lora_B.data[n]


class EmbeddingPair(Module):
    """scaling * A @ B.T, by which a table (num_embeddings, embedding_dim) changes.

    lora_A (num_embeddings, rank) begins as zeros and lora_B (embedding_dim, rank) normal, as in PEFT, whose files hold
    A transposed. magnitude (embedding_dim,): with DoRA, the lengths of the changed table's columns; None without.
    """

    def __init__(self, num_embeddings: int, embedding_dim: int, config: AdapterConfig) -> None:
        self.scaling = config.scaling
        self.lora_A = Parameter.initialized((num_embeddings, config.rank), Constant(0))
        self.lora_B = Parameter.initialized((embedding_dim, config.rank), Normal(1.0))
        self.magnitude = Parameter(np.ones(embedding_dim, np.float32)) if config.use_dora else None

    def delta(self, ids: Tensor, padding_idx: int | None) -> Tensor:
        """The change of the rows of these ids: (*ids.shape, embedding_dim). The padding's row gets no gradient."""
        return F.linear(F.embedding(self.lora_A, ids, padding_idx=padding_idx) * self.scaling, self.lora_B)

    def scale(self, table: Array) -> Tensor:
        """DoRA's factors (embedding_dim,) of the columns of the changed table; see `LinearPair.scale`."""
        assert self.magnitude is not None
        return self.magnitude / Tensor(lengths(table + self._product(table), axis=0))

    def changed(self, table: Array) -> Array:
        """What the table becomes."""
        changed = table + self._product(table)
        if self.magnitude is None:
            return changed
        return changed * (self.magnitude.data / lengths(changed, axis=0))

    def begin(self, table: Array) -> None:
        """Set the lengths of DoRA so that nothing changes as long as A is zeros."""
        if self.magnitude is not None:
            self.magnitude.data = lengths(table + self._product(table), axis=0)

    def stored(self, names: Sequence[str]) -> Stored:
        """As of LinearPair."""
        (name,) = names
        yield f"{name}.lora_embedding_A", self.lora_A, self.lora_A.data.T
        yield f"{name}.lora_embedding_B", self.lora_B, self.lora_B.data
        if self.magnitude is not None:
            yield f"{name}.lora_magnitude_vector", self.magnitude, self.magnitude.data

    def _product(self, table: Array) -> Array:
        return (self.lora_A.data @ self.lora_B.data.T) * table.dtype.type(self.scaling)


def kaiming(in_features: int) -> Uniform:
    """Kaiming's uniform initial values with a = sqrt(5): He et al. 2015, as in PyTorch's Linear."""
    return Uniform(1 / math.sqrt(max(1, in_features)))


def lengths(weight: Array, axis: int) -> Array:
    """The lengths of the weight's rows (axis 1) or columns (axis 0)."""
    xp = array_module(weight)
    return xp.maximum(xp.sqrt((weight * weight).sum(axis=axis)), weight.dtype.type(SMALLEST_LENGTH))
