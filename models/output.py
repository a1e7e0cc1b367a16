"""Output layers, from hidden states to the vocabulary: tied ones, and losses whose logits never exist as a whole."""

from __future__ import annotations

from scratchgrad import Tensor, recompute
from scratchgrad import functional as F
from scratchgrad.nn import Constant, Embedding, Linear, Module, Parameter, shapes_only
from scratchgrad.ops.cross_entropy import IGNORE_INDEX
from scratchgrad.ops.loss import Reduction

CHUNK_TOKENS = 512  # whose logits a module that is no plain Linear makes at a time: 62 MiB of 32,000 in float32


def output_layer(embedding: Embedding, *, is_tied: bool, bias: bool = False, std: float = 0.02) -> Linear:
    """A Linear (hidden_size -> vocabulary). Tied, its `weight` is the embedding's Parameter, and nothing is drawn.

    A parameter that stands in two places is one, and bears the name of the first: the embedding's.
    """
    num_embeddings, hidden_size = embedding.weight.shape
    if not is_tied:
        return Linear(hidden_size, num_embeddings, bias=bias, std=std)
    with shapes_only():
        layer = Linear(hidden_size, num_embeddings, bias=False)
    layer.weight = embedding.weight
    layer.bias = Parameter.initialized((num_embeddings,), Constant(0)) if bias else None
    return layer


def output_cross_entropy(
    layer: Module,
    hidden_states: Tensor,
    targets: Tensor,
    *,
    reduction: Reduction = "sum",
    label_smoothing: float = 0.0,
    z_loss: float = 0.0,
) -> Tensor:
    """`F.cross_entropy` of layer(hidden_states), a part of the tokens at a time.

    hidden_states (..., hidden_size); targets integers of its leading shape, IGNORE_INDEX where nothing is asked. One
    number, or, with reduction "none", the losses in targets' shape. A plain Linear is fused with the loss; any other
    module (low-rank, sharded, quantised) is called on `CHUNK_TOKENS` tokens, and once more in the backward pass. It
    must treat each token by itself. ValueError where the shapes disagree; IndexError for a target that is no class.
    """
    if type(layer) is Linear:
        return F.linear_cross_entropy(
            hidden_states,
            layer.weight,
            targets,
            layer.bias,
            label_smoothing=label_smoothing,
            z_loss=z_loss,
            reduction=reduction,
        )
    if targets.shape != hidden_states.shape[:-1]:
        raise ValueError(f"targets must have the leading shape {hidden_states.shape[:-1]}, not {targets.shape}")
    tokens, ids = hidden_states.reshape(-1, hidden_states.shape[-1]), targets.data.reshape(-1)

    def chunk_losses(start: int) -> Tensor:
        chunk = slice(start, start + CHUNK_TOKENS)
        return recompute(
            lambda x: F.cross_entropy(
                layer(x), Tensor(ids[chunk]), label_smoothing=label_smoothing, z_loss=z_loss, reduction="none"
            ),
            tokens[chunk],
        )

    losses = F.concatenate([chunk_losses(start) for start in range(0, max(1, len(ids)), CHUNK_TOKENS)])
    if reduction == "none":
        return losses.reshape(targets.shape)
    count = int((ids != IGNORE_INDEX).sum())
    return losses.sum() if reduction == "sum" else losses.sum() / max(1, count)


def token_log_probs(layer: Module, hidden_states: Tensor, targets: Tensor) -> Tensor:
    """log p(target) of each token, in targets' shape, with gradients; 0 where the target is IGNORE_INDEX.

    Arguments as of `output_cross_entropy`.
    """
    return -output_cross_entropy(layer, hidden_states, targets, reduction="none")
