"""A mixture of experts: a router sends each token to a few of many feed-forward parts (Shazeer et al. 2017)."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

from scratchgrad import Tensor
from scratchgrad import functional as F
from scratchgrad.backend import Array, array_module
from scratchgrad.models.auxiliary import AuxOutputs, ExpertLoad
from scratchgrad.models.experts import ExpertsConfig
from scratchgrad.models.feed_forward import FeedForward, GatedFeedForward
from scratchgrad.nn import Linear, Module, Parameter, shapes_only

Dense = FeedForward | GatedFeedForward


def build_feed_forward(config: ExpertsConfig, new_dense: Callable[[], Dense]) -> Module:
    """The feed-forward part of a block: a dense one, or a mixture of as many as the config wants."""
    if config.num_local_experts is None:
        return new_dense()
    with shapes_only():
        dense = new_dense()
    return MixtureOfExperts(dense, config.num_local_experts, config)


class MixtureOfExperts(Module):
    """Each token's result is the weighted sum of what its k most probable experts make of it.

    Choices are sorted by expert, so that each expert multiplies its own tokens and no others. With a capacity factor c
    an expert takes at most c * tokens * k / experts of them while the model trains. Those that come later in the text
    find no room, so that no token depends on one behind it; a token without any expert gives zeros, and lives on in
    the residual sum of its block. Otherwise nothing is dropped: what a model says of a text does not depend on what
    else is in the batch.
    """

    def __init__(self, expert: Dense, num_experts: int, config: ExpertsConfig) -> None:
        """expert: what each of them is like; of its parameters only shapes and initial values are looked at."""
        self.projections, self.num_experts = expert.projections, num_experts
        self.experts = {name: GroupedLinear(getattr(expert, name), num_experts) for name in expert.projections}
        self.router = Linear(self.experts[expert.projections[0]].in_features, num_experts, bias=False, std=0.02)
        self.config = config
        self.activate = partial(type(expert).activate, activation=expert.activation)

    def forward(self, x: Tensor, aux: AuxOutputs) -> Tensor:
        """x (..., hidden_size) floats; returns x's shape and dtype. Load and, in training, losses go into `aux`."""
        config, tokens = self.config, x.reshape(-1, x.shape[-1])
        top_k = config.num_experts_per_tok
        logits = self.router(tokens)
        weights, experts, probabilities = F.topk_routing(logits, top_k, normalize=config.norm_topk_prob)
        order, counts = self._sorted_by_expert(experts.data, aux)
        up_proj, down_proj = (self.experts[name] for name in self.projections)
        token_indices = order // top_k  # of each choice
        rows = up_proj(F.take(tokens, token_indices), counts)
        rows = down_proj(self.activate(rows), counts) * F.take(weights.reshape(-1, 1), order)
        out = F.index_add(array_module(tokens.data).zeros_like(tokens.data), token_indices, rows)
        if self.training:
            self._add_losses(logits, probabilities, experts, aux)
        return out.reshape(x.shape)

    def _sorted_by_expert(self, experts: Array, aux: AuxOutputs) -> tuple[Array, Array]:
        """experts (token, k) integers: the choices that are kept, numbered token by token, and tokens per expert.

        The choices are sorted by expert; a capacity drops the last of an expert's. The load goes into `aux`.
        """
        xp, choices, num_experts = array_module(experts), experts.reshape(-1), self.num_experts
        order = xp.argsort(choices, kind="stable")
        chosen_counts = counts = xp.bincount(choices, minlength=num_experts)
        if self.training and self.config.capacity_factor is not None:
            capacity = math.ceil(self.config.capacity_factor * len(choices) / num_experts)
            starts = chosen_counts.cumsum() - chosen_counts
            order = order[xp.arange(len(order)) - starts[choices[order]] < capacity]
            counts = xp.minimum(chosen_counts, capacity)
        aux.loads[self] = ExpertLoad(chosen_counts, chosen_counts.sum() - counts.sum())
        return order, counts

    def _add_losses(self, logits: Tensor, probabilities: Tensor, experts: Tensor, aux: AuxOutputs) -> None:
        """The load-balance loss is top-k where all experts are chosen alike, as Hugging Face counts it."""
        config, losses = self.config, []
        if config.router_aux_loss_coef:
            balance = F.load_balance_loss(probabilities, experts) * config.num_experts_per_tok
            losses.append(balance * config.router_aux_loss_coef)
        if config.router_z_loss_coef:
            losses.append(F.router_z_loss(logits) * config.router_z_loss_coef)
        if losses:
            aux.losses.append(losses[0] if len(losses) == 1 else losses[0] + losses[1])

    def extra_repr(self) -> str:
        capacity = self.config.capacity_factor
        return f"k={self.config.num_experts_per_tok}" + (f", capacity_factor={capacity}" if capacity else "")


class GroupedLinear(Module):
    """A Linear for each group of rows.

    weight (groups, out_features, in_features); bias (groups * out_features,), or None.
    """

    def __init__(self, layer: Linear, groups: int) -> None:
        """layer: what each of them is like."""
        self.groups, self.in_features = groups, layer.in_features
        self.weight = _repeated(layer.weight, (groups, *layer.weight.shape))
        self.bias = None if layer.bias is None else _repeated(layer.bias, (groups * layer.out_features,))

    def forward(self, x: Tensor, counts: Array) -> Tensor:
        """x (rows, in_features), the first counts[0] of the first group, and so on; returns (rows, out_features)."""
        bias = None if self.bias is None else self.bias.reshape(self.groups, -1)
        return F.grouped_linear(x, self.weight, bias, counts=counts)


def _repeated(parameter: Parameter, shape: tuple[int, ...]) -> Parameter:
    """A parameter of this shape with the initial values of another."""
    assert parameter.initializer is not None
    return Parameter.initialized(shape, parameter.initializer)
