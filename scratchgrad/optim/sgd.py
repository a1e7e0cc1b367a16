"""Stochastic gradient descent."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from scratchgrad.backend import Array
from scratchgrad.optim.optimizer import Optimizer
from scratchgrad.tensor import Tensor


class SGD(Optimizer):
    """SGD with momentum (Sutskever et al. 2013, in PyTorch's form); norms and biases do not decay.

    velocity   = momentum * velocity + grad + weight_decay * parameter
    parameter -= lr * velocity
    """

    state_names = ("velocity",)

    def __init__(
        self,
        named_parameters: Iterable[tuple[str, Tensor]],
        lr: float | Callable[[int], float] = 1e-2,
        *,
        momentum: float = 0.0,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(named_parameters, lr)
        self.momentum, self.weight_decay = momentum, weight_decay

    def update(self, parameter: Array, grad: Array, state: list[Array], lr: float, decays: bool) -> None:
        (velocity,) = state
        velocity *= self.momentum
        velocity += grad
        if decays:
            velocity += self.weight_decay * parameter
        parameter -= lr * velocity
