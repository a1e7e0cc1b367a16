"""Attention with its projections: to the tokens of the same text, and to a memory."""

from __future__ import annotations

from typing import NamedTuple

from scratchgrad import Tensor
from scratchgrad import functional as F
from scratchgrad.models.cache import LayerCache
from scratchgrad.nn import Linear, Module


class AttentionInputs(NamedTuple):
    """What all blocks of a stack are told beside the tokens. Masks are as `F.scaled_dot_product_attention` takes them.

    rotary: cosines and sines as `F.rotary` takes them. memory (batch, length, hidden): what cross-attention looks at.
    """

    rotary: tuple[Tensor, Tensor] | None = None
    mask: Tensor | None = None
    memory: Tensor | None = None
    memory_mask: Tensor | None = None


class SelfAttention(Module):
    """Every token looks at the tokens of its own text, or, if causal, at itself and those before it.

    `groups` heads of keys and values serve `heads` of queries, each `width` wide: as many as heads, and hidden / heads,
    where they are left out. One product makes queries, keys and values: the rows of `qkv` are those of all query heads,
    then keys, then values. scale: of the scores; 1 / sqrt(width) if None. std, query_std and out_std: of the initial
    weights; query_std is std if None.
    """

    def __init__(
        self,
        hidden: int,
        heads: int,
        *,
        groups: int | None = None,
        width: int | None = None,
        bias: bool = False,
        is_causal: bool = False,
        scale: float | None = None,
        std: float = 0.02,
        query_std: float | None = None,
        out_std: float = 0.02,
    ) -> None:
        self.heads, self.groups = heads, groups or heads
        self.is_causal, self.scale = is_causal, scale
        width = width or hidden // heads
        rows, others = heads * width, 2 * self.groups * width
        of_rows = std if query_std is None else ((rows, query_std), (others, std))
        self.qkv = Linear(hidden, rows + others, bias=bias, std=of_rows)
        self.o_proj = Linear(heads * width, hidden, bias=bias, std=out_std)

    def forward(self, x: Tensor, inputs: AttentionInputs, cache: LayerCache | None = None) -> Tensor:
        """x (batch, time, hidden); returns x's shape. With a cache, x follows what the cache holds."""
        turned = self.heads + self.groups  # queries and keys have positions, values have not
        stacked = split_heads(self.qkv(x), turned + self.groups)
        if inputs.rotary is not None:
            stacked = F.rotary(stacked, *inputs.rotary, heads=turned)
        else:
            stacked = F.contiguous(stacked)
        query, key, value = stacked[:, : self.heads], stacked[:, self.heads : turned], stacked[:, turned:]
        if cache is None:
            out = F.scaled_dot_product_attention(
                query, key, value, inputs.mask, is_causal=self.is_causal, scale=self.scale
            )
        else:
            cache.self_attention.append(key, value)
            out = cache.self_attention.attend(
                query, inputs.mask, just_appended=x.shape[1], is_causal=self.is_causal, scale=self.scale
            )
        merged: Tensor = self.o_proj(merge_heads(out))
        return merged

    def extra_repr(self) -> str:
        return f"heads={self.heads}, groups={self.groups}"


class CrossAttention(Module):
    """Every token looks at a memory, as a decoder does at what its encoder read. Arguments as of SelfAttention.

    The rows of `kv` are those of all heads of keys, then values.
    """

    def __init__(
        self,
        hidden: int,
        heads: int,
        *,
        width: int | None = None,
        bias: bool = False,
        scale: float | None = None,
        std: float = 0.02,
        query_std: float | None = None,
        out_std: float = 0.02,
    ) -> None:
        self.heads, self.scale = heads, scale
        width = width or hidden // heads
        self.q_proj = Linear(hidden, heads * width, bias=bias, std=std if query_std is None else query_std)
        self.kv = Linear(hidden, 2 * heads * width, bias=bias, std=std)
        self.o_proj = Linear(heads * width, hidden, bias=bias, std=out_std)

    def forward(self, x: Tensor, inputs: AttentionInputs, cache: LayerCache | None = None) -> Tensor:
        """x (batch, time, hidden); returns x's shape. A cache keeps what it makes of the first memory,
        and how much of it each row looks at: a mask is for texts without one."""
        query = F.contiguous(split_heads(self.q_proj(x), self.heads))
        if cache is None:
            key, value = self._keys_and_values(inputs)
            out = F.scaled_dot_product_attention(query, key, value, inputs.memory_mask, scale=self.scale)
        else:
            if cache.cross_attention.is_empty:
                cache.cross_attention.fill(*self._keys_and_values(inputs))
            out = cache.cross_attention.attend(query, scale=self.scale)
        merged: Tensor = self.o_proj(merge_heads(out))
        return merged

    def _keys_and_values(self, inputs: AttentionInputs) -> tuple[Tensor, Tensor]:
        assert inputs.memory is not None, "cross-attention needs a memory, or a cache that knows it"
        stacked = F.contiguous(split_heads(self.kv(inputs.memory), 2 * self.heads))
        return stacked[:, : self.heads], stacked[:, self.heads :]

    def extra_repr(self) -> str:
        return f"heads={self.heads}"


def split_heads(x: Tensor, heads: int) -> Tensor:
    """(batch, time, heads * width) -> (batch, heads, time, width), a view."""
    batch, time, _ = x.shape
    return x.reshape(batch, time, heads, -1).transpose(0, 2, 1, 3)


def merge_heads(x: Tensor) -> Tensor:
    """(batch, heads, time, width) -> (batch, time, heads * width)."""
    batch, heads, time, width = x.shape
    return x.transpose(0, 2, 1, 3).reshape(batch, time, heads * width)


def expand_attention_mask(attention_mask: Tensor | None, shape: tuple[int, ...]) -> Tensor | None:
    """attention_mask (batch, time), booleans or 0/1 integers, as booleans (batch, 1, 1, time) that attention takes.

    ValueError where it has another shape than `shape`, or holds neither booleans nor integers.
    """
    if attention_mask is None:
        return None
    if attention_mask.shape != shape or attention_mask.dtype.kind not in "bui":
        raise ValueError(
            f"attention_mask must be booleans or integers of shape {shape}, one for each token, not "
            f"{attention_mask.dtype} of shape {attention_mask.shape}"
        )
    return Tensor((attention_mask.data != 0)[:, None, None])
