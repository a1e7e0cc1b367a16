"""Self-attention of a decoder."""

from __future__ import annotations

from scratchgrad import Tensor
from scratchgrad import functional as F
from scratchgrad.models.cache import LayerCache
from scratchgrad.nn import Linear, Module


class CausalSelfAttention(Module):
    """Every token looks at itself and those before it; `groups` heads of keys and values serve `heads` of queries.

    One product makes queries, keys and values: the rows of `qkv` are those of all query heads, then keys, then values.
    """

    def __init__(self, hidden: int, heads: int, groups: int, *, out_std: float) -> None:
        self.heads, self.groups = heads, groups
        width = hidden // heads
        self.qkv = Linear(hidden, (heads + 2 * groups) * width, bias=False)
        self.o_proj = Linear(hidden, hidden, bias=False, std=out_std)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor, cache: LayerCache | None = None) -> Tensor:
        """x (batch, time, hidden); cos, sin (time, width / 2) of x's positions; returns x's shape."""
        batch, time, hidden = x.shape
        turned = self.heads + self.groups  # queries and keys have positions, values have not
        stacked = self.qkv(x).reshape(batch, time, turned + self.groups, -1).transpose(0, 2, 1, 3)
        stacked = F.rotary(stacked, cos, sin, heads=turned)
        query, key, value = stacked[:, : self.heads], stacked[:, self.heads : turned], stacked[:, turned:]
        if cache is not None:
            key, value = cache.extend(key, value)
        out = F.scaled_dot_product_attention(query, key, value, is_causal=True)
        merged: Tensor = self.o_proj(out.transpose(0, 2, 1, 3).reshape(batch, time, hidden))
        return merged

    def extra_repr(self) -> str:
        return f"heads={self.heads}, groups={self.groups}"
