"""Which tokens go to which experts (Shazeer et al. 2017; Fedus et al. 2021, "Switch Transformers")."""

from __future__ import annotations

from scratchgrad.ops.arithmetic import div, mul
from scratchgrad.ops.indexing import one_hot
from scratchgrad.ops.order import topk
from scratchgrad.ops.reduction import mean, sum
from scratchgrad.ops.softmax import logsumexp, softmax
from scratchgrad.tensor import Tensor


def topk_routing(logits: Tensor, k: int, *, normalize: bool = True) -> tuple[Tensor, Tensor, Tensor]:
    """(weights (tokens, k), experts (tokens, k) integers, probabilities (tokens, experts)) of a gate's logits.

    normalize: the k weights of a token add up to 1 (Mixtral); otherwise they are its probabilities (Switch).
    """
    probabilities = softmax(logits)
    weights, experts = topk(probabilities, k)
    if normalize:
        weights = div(weights, sum(weights, axis=-1, keepdims=True))
    return weights, experts, probabilities


def load_balance_loss(probabilities: Tensor, experts: Tensor) -> Tensor:
    """experts * sum over experts of (share of choices) * (mean probability): 1 if all are chosen alike, more if not.

    probabilities (tokens, experts); experts (tokens, k) as `topk_routing` gives them (Fedus et al. 2021, equation 4).
    """
    count = probabilities.shape[-1]
    chosen = one_hot(experts, classes=count).data.mean(axis=(0, 1), dtype=probabilities.dtype)
    return mul(sum(mul(mean(probabilities, axis=0), chosen)), count)


def router_z_loss(logits: Tensor) -> Tensor:
    """The mean over tokens of log(sum(e^logits))^2: it keeps a gate's logits small (Zoph et al. 2022, equation 5)."""
    z = logsumexp(logits, axis=-1)
    return mean(mul(z, z))
