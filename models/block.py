"""Blocks (transformer layers), and the stacks of them that all families are made of."""

from __future__ import annotations

from collections.abc import Callable

from scratchgrad import Tensor, recompute
from scratchgrad.models.attention import AttentionInputs, CrossAttention, SelfAttention
from scratchgrad.models.auxiliary import AuxOutputs
from scratchgrad.models.cache import KeyValueCache, LayerCache
from scratchgrad.nn import Dropout, Module


class Block(Module):
    """A layer: self-attention, cross-attention where there is one, and a feed-forward part, each with a residual sum.

    norm_first: x + part(norm(x)), as in GPT-2, Llama and T5 (Xiong et al. 2020, "On Layer Normalization"); otherwise
    norm(x + part(x)), as in the original Transformer and BERT. recomputes_attention: activation checkpointing of the
    attention alone, which is run again in the backward pass.
    """

    recomputes_attention = False

    def __init__(
        self,
        attention: SelfAttention,
        feed_forward: Module,
        new_norm: Callable[[], Module],
        *,
        cross_attention: CrossAttention | None = None,
        norm_first: bool = True,
        dropout: float = 0.0,
    ) -> None:
        self.norm_first = norm_first
        self.attention_norm, self.attention = new_norm(), attention
        if cross_attention is not None:
            self.cross_attention_norm = new_norm()
        self.cross_attention = cross_attention
        self.feed_forward_norm, self.feed_forward = new_norm(), feed_forward
        self.attention_dropout, self.feed_forward_dropout = Dropout(dropout), Dropout(dropout)
        if cross_attention is not None:
            self.cross_attention_dropout = Dropout(dropout)

    def forward(self, x: Tensor, inputs: AttentionInputs, aux: AuxOutputs, cache: LayerCache | None = None) -> Tensor:
        """x (batch, time, hidden_size) floats; returns x's shape and dtype. Router losses and loads go into `aux`."""
        if self.recomputes_attention and cache is None:
            x = recompute(
                lambda x, mask, encoder_hidden_states: self._attention_sublayers(
                    x, inputs._replace(mask=mask, encoder_hidden_states=encoder_hidden_states), None
                ),
                x, inputs.mask, inputs.encoder_hidden_states,
            )  # fmt: skip
        else:
            x = self._attention_sublayers(x, inputs, cache)
        return self._residual(x, self.feed_forward_norm, self.feed_forward_dropout, lambda h: self.feed_forward(h, aux))

    def _attention_sublayers(self, x: Tensor, inputs: AttentionInputs, cache: LayerCache | None) -> Tensor:
        x = self._residual(x, self.attention_norm, self.attention_dropout, lambda h: self.attention(h, inputs, cache))
        if (cross := self.cross_attention) is not None:
            x = self._residual(
                x, self.cross_attention_norm, self.cross_attention_dropout, lambda h: cross(h, inputs, cache)
            )
        return x

    def _residual(self, x: Tensor, norm: Module, dropout: Dropout, part: Callable[[Tensor], Tensor]) -> Tensor:
        out: Tensor = x + dropout(part(norm(x))) if self.norm_first else norm(x + dropout(part(x)))
        return out


class Stack(Module):
    """Blocks one after the other, and a norm behind the last where norms stand first."""

    def __init__(self, layers: list[Block], norm: Module | None = None) -> None:
        self.layers, self.norm = layers, norm

    def forward(
        self,
        x: Tensor,
        inputs: AttentionInputs,
        aux: AuxOutputs,
        *,
        recompute_every: int = 0,
        cache: KeyValueCache | None = None,
    ) -> Tensor:
        """x (batch, time, hidden_size) floats; returns x's shape and dtype. With a cache, nothing is recomputed.

        recompute_every: activation checkpointing of that many blocks at a time, which are run again in the backward
        pass; 0 keeps all activations.
        """
        if cache is not None:
            for layer, layer_cache in zip(self.layers, cache.layers, strict=True):
                x = layer(x, inputs, aux, layer_cache)
            cache.advance(x.shape[1])
        elif recompute_every == 0:
            for layer in self.layers:
                x = layer(x, inputs, aux)
        else:
            for start in range(0, len(self.layers), recompute_every):
                x = _checkpointed(self.layers[start : start + recompute_every], x, inputs, aux)
        out: Tensor = x if self.norm is None else self.norm(x)
        return out


def _checkpointed(layers: list[Block], x: Tensor, inputs: AttentionInputs, aux: AuxOutputs) -> Tensor:
    """The blocks under `recompute`, whose arguments are all that may need a gradient, whose results all that has."""

    def run(x: Tensor, mask: Tensor | None, encoder_hidden_states: Tensor | None) -> tuple[Tensor, ...]:
        block_inputs = inputs._replace(mask=mask, encoder_hidden_states=encoder_hidden_states)
        block_aux = AuxOutputs(loads=aux.loads)
        for layer in layers:
            x = layer(x, block_inputs, block_aux)
        return x, *block_aux.losses

    x, *losses = recompute(run, x, inputs.mask, inputs.encoder_hidden_states)
    aux.losses += losses
    return x
