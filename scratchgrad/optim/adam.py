"""Adam (Kingma and Ba 2015), and AdamW (Loshchilov and Hutter 2019)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from scratchgrad.backend import Array, array_module
from scratchgrad.optim.optimizer import Optimizer


class Adam(Optimizer):
    """Adam; a weight decay is added to the gradient (L2), if one is given. Norms and biases do not decay.

    grad = grad + weight_decay * parameter
    m = beta1 * m + (1 - beta1) * grad
    v = beta2 * v + (1 - beta2) * grad^2
    parameter -= lr * m / (1 - beta1^t) / (sqrt(v / (1 - beta2^t)) + eps)

    with m and v under PyTorch's names, exp_avg and exp_avg_sq; t counts the parameter's updates. params: see Optimizer.
    """

    state_names = ("exp_avg", "exp_avg_sq")

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Callable[[int], float] = 1e-3,
        *,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(params, lr=lr, betas=betas, eps=eps, weight_decay=weight_decay)

    def update(self, parameter: Array, grad: Array, state: list[Array], options: Mapping[str, Any]) -> None:
        if options["weight_decay"]:
            grad += options["weight_decay"] * parameter
        descend(parameter, grad, state, options)


class AdamW(Optimizer):
    """Adam with decoupled weight decay (algorithm 2); norms and biases (parameters of one axis) do not decay.

    m = beta1 * m + (1 - beta1) * grad
    v = beta2 * v + (1 - beta2) * grad^2
    parameter -= lr * (m / (1 - beta1^t) / (sqrt(v / (1 - beta2^t)) + eps) + weight_decay * parameter)

    with m and v under PyTorch's names, exp_avg and exp_avg_sq; t counts the parameter's updates. params: see Optimizer.
    """

    state_names = ("exp_avg", "exp_avg_sq")

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Callable[[int], float] = 1e-3,
        *,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.01,
    ) -> None:
        super().__init__(params, lr=lr, betas=betas, eps=eps, weight_decay=weight_decay)

    def update(self, parameter: Array, grad: Array, state: list[Array], options: Mapping[str, Any]) -> None:
        if options["weight_decay"]:
            parameter *= 1 - options["lr"] * options["weight_decay"]
        descend(parameter, grad, state, options)


def descend(parameter: Array, grad: Array, state: list[Array], options: Mapping[str, Any]) -> None:
    """The step that both share. Everything is changed in place, `grad` too."""
    (exp_avg, exp_avg_sq), (beta1, beta2), steps = state, options["betas"], options["step"]
    exp_avg *= beta1
    exp_avg += (1 - beta1) * grad
    exp_avg_sq *= beta2
    grad *= grad
    exp_avg_sq += (1 - beta2) * grad
    size = array_module(grad).sqrt(exp_avg_sq)
    size *= 1 / math.sqrt(1 - beta2**steps)
    size += options["eps"]
    step = exp_avg / size
    step *= options["lr"] / (1 - beta1**steps)
    parameter -= step
