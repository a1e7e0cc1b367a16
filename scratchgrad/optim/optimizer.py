"""What all optimizers share: a loop over the parameters, a learning rate that may follow a schedule, saved state."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from scratchgrad.backend import Array, array_module, device_of, to_device, to_numpy
from scratchgrad.tensor import Tensor
from scratchgrad.threads import parallel_map, tiles

TILE = 1 << 16  # elements: parameter, gradient and state of a tile stay in a core's cache from first to last operation


class Optimizer:
    """A subclass names what it keeps of each parameter in `state_names`, and writes its rule for one tile in `update`.

    Rules treat every element alike, so a parameter is updated tile by tile, on all threads, with the same result.
    named_parameters: (name, tensor) pairs as `Module.named_parameters()` gives them; state is kept and saved by name,
    in arrays of the parameter's shape, dtype and device that begin as zeros. Parameters that are frozen when the
    optimizer is made are left out. lr: the learning rate, or a function of the number of steps done so far.
    """

    state_names: tuple[str, ...] = ()

    def __init__(self, named_parameters: Iterable[tuple[str, Tensor]], lr: float | Callable[[int], float]) -> None:
        self.parameters = {name: tensor for name, tensor in named_parameters if tensor.requires_grad}
        self.lr = lr if callable(lr) else lambda step: lr
        self.steps = 0
        self.state = {
            (kind, name): array_module(tensor.data).zeros_like(tensor.data)
            for kind in self.state_names
            for name, tensor in self.parameters.items()
        }

    def update(self, parameter: Array, grad: Array, state: list[Array], lr: float, decays: bool) -> None:
        """Change a tile (elements,) of a parameter and of its state, in the order of `state_names`, in place.

        grad: a copy, which may be overwritten. decays: the parameter has two axes or more, and weight decay applies.
        """
        raise TypeError(f"{type(self).__name__} defines no update()")

    def step(self, grad_scale: float = 1.0) -> None:
        """One step down the gradients times `grad_scale`. A parameter without a gradient stays as it is."""
        lr = self.lr(self.steps)
        self.steps += 1
        for name, tensor in self.parameters.items():
            if tensor.grad is None:
                continue
            flat = [array.reshape(-1) for array in (tensor.data, tensor.grad, *self._state_of(name))]
            decays = tensor.ndim > 1

            def update(tile: slice, flat: list[Array] = flat, decays: bool = decays) -> None:
                parameter, grad, *state = (array[tile] for array in flat)
                self.update(parameter, grad * grad_scale, state, lr, decays)

            if device_of(tensor.data) == "cpu":
                parallel_map(update, tiles(tensor.size, TILE))
            else:
                update(slice(None))

    def zero_grad(self) -> None:
        for tensor in self.parameters.values():
            tensor.grad = None

    def state_dict(self) -> dict[str, np.ndarray[Any, Any]]:
        """'steps', an int64, and every array of the state as 'exp_avg/layers.0.weight': on the CPU the very memory."""
        arrays = {f"{kind}/{name}": to_numpy(array) for (kind, name), array in self.state.items()}
        return {"steps": np.array(self.steps, np.int64), **arrays}

    def load_state_dict(self, state: Mapping[str, np.ndarray[Any, Any]]) -> None:
        """Copy the state of an optimizer of the same kind over parameters of the same names and shapes.

        ValueError where names or shapes differ.
        """
        own = {f"{kind}/{name}": (kind, name) for kind, name in self.state}
        if state.keys() != own.keys() | {"steps"}:
            raise ValueError(f"the saved state is not one of {type(self).__name__} over these parameters")
        for text, key in own.items():
            if state[text].shape != self.state[key].shape:
                raise ValueError(f"'{text}' has shape {state[text].shape} where {self.state[key].shape} is needed")
            self.state[key] = to_device(state[text].copy(), device_of(self.state[key]))
        self.steps = int(state["steps"])

    def _state_of(self, name: str) -> list[Array]:
        return [self.state[kind, name] for kind in self.state_names]
