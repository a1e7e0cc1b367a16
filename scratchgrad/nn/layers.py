"""The modules that every model is made of, with PyTorch's names.

Parameters begin as float32 on the CPU; `Module.to` moves and casts them. A layer's result has the dtype of its input.
"""

from __future__ import annotations

import math
from itertools import groupby

from scratchgrad import functional as F
from scratchgrad.nn.init import Constant, Normal, Std, Uniform
from scratchgrad.nn.module import Module, Parameter
from scratchgrad.ops.embedding import padding_row
from scratchgrad.random import next_site
from scratchgrad.tensor import Tensor


class Linear(Module):
    """x @ weight.T + bias.

    weight (out_features, in_features); bias (out_features,), or None. They begin as PyTorch's: evenly between
    -1 / sqrt(in_features) and 1 / sqrt(in_features). With `std`, which is one number, or ((rows, std), ...) for blocks
    of rows, weights are normal with mean 0 and the bias is zero, as models want it.
    """

    def __init__(self, in_features: int, out_features: int, *, bias: bool = True, std: Std | None = None) -> None:
        self.in_features, self.out_features = in_features, out_features
        even = Uniform(1 / math.sqrt(max(1, in_features)))
        self.weight = Parameter.initialized((out_features, in_features), even if std is None else Normal(std))
        initial_bias = even if std is None else Constant(0)
        self.bias = Parameter.initialized((out_features,), initial_bias) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        """x (..., in_features) floats; returns (..., out_features). ValueError where the last axis is another."""
        return F.linear(x, self.weight, self.bias)


class Embedding(Module):
    """A table that is looked up by integers. weight (num_embeddings, embedding_dim), normal with mean 0 and `std`.

    std: PyTorch's 1, unless said. padding_idx: the row, counted from the end if it is negative, that begins as zeros
    and gets no gradient. ValueError where there is no such row.
    """

    def __init__(
        self, num_embeddings: int, embedding_dim: int, padding_idx: int | None = None, *, std: Std = 1.0
    ) -> None:
        self.num_embeddings, self.embedding_dim = num_embeddings, embedding_dim
        self.padding_idx = padding_row(num_embeddings, padding_idx)
        if self.padding_idx is not None:
            std = _with_a_row_of_zeros(std, num_embeddings, self.padding_idx)
        self.weight = Parameter.initialized((num_embeddings, embedding_dim), Normal(std))

    def forward(self, ids: Tensor) -> Tensor:
        """ids integers of any shape; returns (*ids.shape, embedding_dim). IndexError for an id that has no row."""
        return F.embedding(self.weight, ids, padding_idx=self.padding_idx)


def _with_a_row_of_zeros(std: Std, rows: int, row: int) -> Std:
    """The deviations of `rows` rows as of `std`, but for one row."""
    blocks = std if isinstance(std, tuple) else ((rows, std),)
    by_row = [deviation for count, deviation in blocks for _ in range(count)]
    by_row[row] = 0.0
    return tuple((len(list(equal)), deviation) for deviation, equal in groupby(by_row))


class RMSNorm(Module):
    """weight * x / sqrt(mean(x^2) + eps) over the last axis (Zhang and Sennrich 2019).

    weight (normalized_shape,) ones.
    """

    def __init__(self, normalized_shape: int, *, eps: float = 1e-6) -> None:
        self.weight = Parameter.initialized((normalized_shape,), Constant(1))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        """x (..., normalized_shape) floats; returns x's shape. ValueError where the last axis is another."""
        return F.rms_norm(x, self.weight, eps=self.eps)


class LayerNorm(Module):
    """weight * (x - mean(x)) / sqrt(var(x) + eps) + bias over the last axis (Ba et al. 2016).

    weight (normalized_shape,) ones; bias (normalized_shape,) zeros, or None.
    """

    def __init__(self, normalized_shape: int, *, eps: float = 1e-5, bias: bool = True) -> None:
        self.weight = Parameter.initialized((normalized_shape,), Constant(1))
        self.bias = Parameter.initialized((normalized_shape,), Constant(0)) if bias else None
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        """x (..., normalized_shape) floats; returns x's shape. ValueError where the last axis is another."""
        return F.layer_norm(x, self.weight, self.bias, eps=self.eps)


class Dropout(Module):
    """Zeroes each element with probability p while training, and scales the others by 1 / (1 - p).

    In a model, which elements depends on the seed, the step and the microbatch, on this module's name, on how often it
    was called before in this forward pass, and on where the element stands in the whole array: not on what other
    modules drew, nor on which process computes it. A module without a name is counted in the order of the program.
    ValueError where p is no probability.
    """

    def __init__(self, p: float = 0.5) -> None:
        if not 0 <= p <= 1:
            raise ValueError(f"Dropout(p={p}): p is a probability, from 0 to 1")
        self.p = p

    def forward(
        self, x: Tensor, *, global_shape: tuple[int, ...] | None = None, offset: tuple[int, ...] | None = None
    ) -> Tensor:
        """x floats of any shape; returns x's shape, or x itself where nothing is dropped.

        global_shape, offset: x is the part of an array of `global_shape` that begins at `offset` in each axis.
        ValueError where it does not lie there.
        """
        if not self.training or self.p == 0:
            return x
        site = next_site(self.qualified_name)
        return F.dropout(x, p=self.p, site=site, global_shape=global_shape, offset=offset)

    def extra_repr(self) -> str:
        return f"p={self.p}"
