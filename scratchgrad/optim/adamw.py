"""AdamW (Loshchilov and Hutter 2019, algorithm 2)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

from scratchgrad.backend import Array, array_module
from scratchgrad.optim.optimizer import Optimizer
from scratchgrad.tensor import Tensor


class AdamW(Optimizer):
    """Adam with decoupled weight decay; norms and biases (parameters of one axis) do not decay.

    m = beta1 * m + (1 - beta1) * grad
    v = beta2 * v + (1 - beta2) * grad^2
    parameter -= lr * (m / (1 - beta1^t) / (sqrt(v / (1 - beta2^t)) + eps) + weight_decay * parameter)

    with m and v under PyTorch's names, exp_avg and exp_avg_sq.
    """

    state_names = ("exp_avg", "exp_avg_sq")

    def __init__(
        self,
        named_parameters: Iterable[tuple[str, Tensor]],
        lr: float | Callable[[int], float] = 1e-3,
        *,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.01,
    ) -> None:
        super().__init__(named_parameters, lr)
        self.betas, self.eps, self.weight_decay = betas, eps, weight_decay

    def update(self, parameter: Array, grad: Array, state: list[Array], lr: float, decays: bool) -> None:
        (exp_avg, exp_avg_sq), (beta1, beta2) = state, self.betas
        exp_avg *= beta1
        exp_avg += (1 - beta1) * grad
        exp_avg_sq *= beta2
        grad *= grad
        exp_avg_sq += (1 - beta2) * grad
        if decays:
            parameter *= 1 - lr * self.weight_decay
        size = array_module(grad).sqrt(exp_avg_sq)
        size *= 1 / math.sqrt(1 - beta2**self.steps)
        size += self.eps
        step = exp_avg / size
        step *= lr / (1 - beta1**self.steps)
        parameter -= step
