"""Self-attention and cross-attention with their projections (Vaswani et al. 2017, section 3.2.2)."""

from __future__ import annotations

from typing import NamedTuple

from scratchgrad import Tensor
from scratchgrad import functional as F
from scratchgrad.models.cache import LayerCache
from scratchgrad.nn import Linear, Module


class AttentionInputs(NamedTuple):
    """What all blocks of a stack read beside the hidden states.

    position_embeddings: the cosines and sines of rotary positions, as `F.rotary` takes them. mask of self-attention and
    encoder_attention_mask of cross-attention: as `F.scaled_dot_product_attention` takes them, booleans or numbers that
    broadcast to (batch, head, time, length). encoder_hidden_states (batch, length, hidden_size): of cross-attention.
    """

    position_embeddings: tuple[Tensor, Tensor] | None = None
    mask: Tensor | None = None
    encoder_hidden_states: Tensor | None = None
    encoder_attention_mask: Tensor | None = None


class SelfAttention(Module):
    """Multi-head attention of every token to its own text, or, if causal, to itself and the tokens before it.

    With fewer num_kv_heads than num_heads it is grouped-query attention (Ainslie et al. 2023): neighbouring query heads
    share a head of keys and values. num_kv_heads is num_heads, and head_dim is hidden_size // num_heads, where they are
    left out. The rows of `qkv.weight` are those of all query heads, then keys, then values. scale: of the scores;
    1 / sqrt(head_dim) if None. std, query_std and out_std: the deviations of the initial weights of keys and values, of
    queries (std if None), and of `o_proj`.
    """

    def __init__(
        self,
        hidden_size: int,
        num_heads: int,
        *,
        num_kv_heads: int | None = None,
        head_dim: int | None = None,
        bias: bool = False,
        is_causal: bool = False,
        scale: float | None = None,
        std: float = 0.02,
        query_std: float | None = None,
        out_std: float = 0.02,
    ) -> None:
        self.num_heads, self.num_kv_heads = num_heads, num_kv_heads or num_heads
        self.is_causal, self.scale = is_causal, scale
        head_dim = head_dim or hidden_size // num_heads
        query_rows, kv_rows = num_heads * head_dim, 2 * self.num_kv_heads * head_dim
        std_of_rows = std if query_std is None else ((query_rows, query_std), (kv_rows, std))
        self.qkv = Linear(hidden_size, query_rows + kv_rows, bias=bias, std=std_of_rows)
        self.o_proj = Linear(num_heads * head_dim, hidden_size, bias=bias, std=out_std)

    def forward(self, x: Tensor, inputs: AttentionInputs, cache: LayerCache | None = None) -> Tensor:
        """x (batch, time, hidden_size) floats; returns x's shape and dtype. With a cache, x follows what it holds."""
        with_positions = self.num_heads + self.num_kv_heads  # heads of queries and keys; those of values come last
        qkv = split_heads(self.qkv(x), with_positions + self.num_kv_heads)
        if inputs.position_embeddings is not None:
            qkv = F.rotary(qkv, *inputs.position_embeddings, heads=with_positions)
        else:
            qkv = F.contiguous(qkv)
        query, key = qkv[:, : self.num_heads], qkv[:, self.num_heads : with_positions]
        value = qkv[:, with_positions:]
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
        return f"num_heads={self.num_heads}, num_kv_heads={self.num_kv_heads}"


class CrossAttention(Module):
    """Multi-head attention of a decoder's tokens to encoder_hidden_states. Arguments as of SelfAttention.

    The rows of `kv.weight` are those of all heads of keys, then values.
    """

    def __init__(
        self,
        hidden_size: int,
        num_heads: int,
        *,
        head_dim: int | None = None,
        bias: bool = False,
        scale: float | None = None,
        std: float = 0.02,
        query_std: float | None = None,
        out_std: float = 0.02,
    ) -> None:
        self.num_heads, self.scale = num_heads, scale
        head_dim = head_dim or hidden_size // num_heads
        self.q_proj = Linear(hidden_size, num_heads * head_dim, bias=bias, std=std if query_std is None else query_std)
        self.kv = Linear(hidden_size, 2 * num_heads * head_dim, bias=bias, std=std)
        self.o_proj = Linear(num_heads * head_dim, hidden_size, bias=bias, std=out_std)

    def forward(self, x: Tensor, inputs: AttentionInputs, cache: LayerCache | None = None) -> Tensor:
        """x (batch, time, hidden_size) floats; returns x's shape and dtype.

        A cache keeps the keys and values of the first encoder_hidden_states, and how many of them each row attends to:
        a mask is for batches without one.
        """
        query = F.contiguous(split_heads(self.q_proj(x), self.num_heads))
        if cache is None:
            key, value = self._keys_and_values(inputs)
            out = F.scaled_dot_product_attention(query, key, value, inputs.encoder_attention_mask, scale=self.scale)
        else:
            if cache.cross_attention.is_empty:
                cache.cross_attention.fill(*self._keys_and_values(inputs))
            out = cache.cross_attention.attend(query, scale=self.scale)
        merged: Tensor = self.o_proj(merge_heads(out))
        return merged

    def _keys_and_values(self, inputs: AttentionInputs) -> tuple[Tensor, Tensor]:
        assert inputs.encoder_hidden_states is not None, (
            "cross-attention needs encoder_hidden_states, or a cache that has their keys"
        )
        kv = F.contiguous(split_heads(self.kv(inputs.encoder_hidden_states), 2 * self.num_heads))
        return kv[:, : self.num_heads], kv[:, self.num_heads :]

    def extra_repr(self) -> str:
        return f"num_heads={self.num_heads}"


def split_heads(x: Tensor, num_heads: int) -> Tensor:
    """(batch, time, num_heads * head_dim) -> (batch, head, time, head_dim), a view."""
    batch, time, _ = x.shape
    return x.reshape(batch, time, num_heads, -1).transpose(0, 2, 1, 3)


def merge_heads(x: Tensor) -> Tensor:
    """(batch, head, time, head_dim) -> (batch, time, num_heads * head_dim)."""
    batch, num_heads, time, head_dim = x.shape
    return x.transpose(0, 2, 1, 3).reshape(batch, time, num_heads * head_dim)


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
