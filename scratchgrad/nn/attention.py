"""Attention of several heads as one module (Vaswani et al. 2017, section 3.2.2), as PyTorch's takes and names it."""

from __future__ import annotations

import math

import numpy as np

from scratchgrad import functional as F
from scratchgrad.backend import Array, array_module
from scratchgrad.nn.init import Constant, Uniform
from scratchgrad.nn.layers import Linear
from scratchgrad.nn.module import Module, Parameter
from scratchgrad.tensor import Tensor, raw


class MultiheadAttention(Module):
    """Queries, keys and values are projected, cut into heads, attended to, joined and projected.

    in_proj_weight (3 * embed_dim, embed_dim) Xavier uniform and in_proj_bias zeros: those of query, key and value, one
    below the other; out_proj, a Linear whose bias begins as zeros. batch_first: arrays are (batch, time, embed_dim),
    not (time, batch, embed_dim). ValueError where num_heads does not divide embed_dim.
    """

    def __init__(
        self, embed_dim: int, num_heads: int, dropout: float = 0.0, bias: bool = True, batch_first: bool = False
    ) -> None:
        if embed_dim % num_heads:
            raise ValueError(f"MultiheadAttention: {num_heads} heads do not divide embed_dim {embed_dim}")
        self.embed_dim, self.num_heads, self.dropout, self.batch_first = embed_dim, num_heads, dropout, batch_first
        xavier = Uniform(math.sqrt(6 / (4 * embed_dim)))  # fan in and fan out (Glorot and Bengio 2010)
        self.in_proj_weight = Parameter.initialized((3 * embed_dim, embed_dim), xavier)
        self.in_proj_bias = Parameter.initialized((3 * embed_dim,), Constant(0)) if bias else None
        self.out_proj = Linear(embed_dim, embed_dim, bias=bias)
        if bias:
            self.out_proj.bias = Parameter.initialized((embed_dim,), Constant(0))

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Tensor | Array | None = None,
        need_weights: bool = True,
        attn_mask: Tensor | Array | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """(result of query's shape, weights), arguments and their order as PyTorch's.

        query (batch, time, embed_dim), key and value (batch, key time, embed_dim), or time first. Masks as PyTorch's
        module has them, where True *hides*: key_padding_mask (batch, key time) booleans; attn_mask (time, key time) or
        (batch * head, time, key time), booleans or numbers that are added to the scores. is_causal needs no mask.
        weights: (batch, time, key time), the mean over heads; (batch, head, time, key time) with
        average_attn_weights=False; None with need_weights=False, which never makes them as a whole, and is faster. A
        query that sees nothing has weights of zero, where PyTorch's are NaN.
        """
        if not self.batch_first:
            query, key, value = (x.swapaxes(0, 1) for x in (query, key, value))
        batch, time, _ = query.shape
        queries, keys, values = (self._heads(x, part) for part, x in enumerate((query, key, value)))
        mask = self._mask(batch, attn_mask, key_padding_mask)
        dropout_p = self.dropout if self.training else 0.0
        weights = None
        if need_weights:  # which are what attention makes of the rows of the identity
            rows = array_module(queries.data).eye(keys.shape[2], dtype=queries.dtype)
            each = F.broadcast_to(Tensor(rows), (1, self.num_heads, *rows.shape))
            weights = F.scaled_dot_product_attention(
                queries, keys, each, mask, is_causal=is_causal, dropout_p=dropout_p
            )
            seen = weights @ values
        else:
            seen = F.scaled_dot_product_attention(queries, keys, values, mask, is_causal=is_causal, dropout_p=dropout_p)
        out: Tensor = self.out_proj(seen.swapaxes(1, 2).reshape(batch, time, self.embed_dim))
        if weights is not None and average_attn_weights:
            weights = weights.mean(axis=1)
        return (out if self.batch_first else out.swapaxes(0, 1)), weights

    def _heads(self, x: Tensor, part: int) -> Tensor:
        """(batch, head, time, width) of the part's projection of x (batch, time, embed_dim)."""
        rows = slice(part * self.embed_dim, (part + 1) * self.embed_dim)
        bias = None if self.in_proj_bias is None else self.in_proj_bias[rows]
        projected = F.linear(x, self.in_proj_weight[rows], bias)
        return projected.reshape(*x.shape[:2], self.num_heads, -1).swapaxes(1, 2)

    def _mask(
        self, batch: int, attn_mask: Tensor | Array | None, key_padding_mask: Tensor | Array | None
    ) -> Tensor | Array | None:
        """What attention takes: booleans that say what is seen, or numbers to add to the scores."""
        mask = attn_mask
        if mask is not None:
            if mask.ndim == 3:
                mask = mask.reshape(batch, self.num_heads, *mask.shape[1:])
            if mask.dtype == np.bool_:
                mask = ~raw(mask)
        if key_padding_mask is None:
            return mask
        hidden = raw(key_padding_mask)[:, None, None, :]
        if mask is None:
            return ~hidden
        return ~hidden & mask if mask.dtype == np.bool_ else F.where(hidden, -math.inf, mask)
