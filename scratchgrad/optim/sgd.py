"""Stochastic gradient descent."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from scratchgrad.backend import Array
from scratchgrad.optim.optimizer import Optimizer


class SGD(Optimizer):
    """SGD with momentum (Sutskever et al. 2013, in PyTorch's form); norms and biases do not decay.

    velocity   = momentum * velocity + grad + weight_decay * parameter
    parameter -= lr * velocity

    params: see Optimizer.
    """

    state_names = ("velocity",)

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Callable[[int], float] = 1e-2,
        *,
        momentum: float = 0.0,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(params, lr=lr, momentum=momentum, weight_decay=weight_decay)

    def update(self, parameter: Array, grad: Array, state: list[Array], options: Mapping[str, Any]) -> None:
        (velocity,) = state
        velocity *= options["momentum"]
        velocity += grad
        if options["weight_decay"]:
            velocity += options["weight_decay"] * parameter
        parameter -= options["lr"] * velocity
