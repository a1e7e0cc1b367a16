"""What all optimizers share: groups of parameters, a loop over them, learning rates that may be schedules, state."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from scratchgrad.backend import Array, array_module, device_of, to_device, to_numpy
from scratchgrad.optim.groups import named_groups
from scratchgrad.tensor import Tensor, raw
from scratchgrad.threads import parallel_map, tiles
from scratchgrad.versions import mark_changed

TILE = 1 << 16  # elements: parameter, gradient and state of a tile stay in a core's cache from first to last operation


class Optimizer:
    """A subclass names what it keeps of each parameter in `state_names`, and writes its rule for one tile in `update`.

    Rules treat every element alike, so a parameter is updated tile by tile, on all threads, with the same result.

    params, as in PyTorch: tensors (`model.parameters()`), (name, tensor) pairs (`model.named_parameters()`), or groups,
    `[{"params": ..., "lr": 1e-4, "weight_decay": 0.0}, ...]`, each with options of its own. The weight decay of the
    optimizer is for parameters of two axes or more; a group's own is for all of the group. Parameters that are frozen
    when the optimizer is made are left out, and one that is named twice is one. TypeError or ValueError for anything
    else, for an unknown option, and where nothing is left to optimize.
    options: lr, a number or a function of the number of steps done so far, and those of the rule.

    `param_groups` is PyTorch's: a list of dicts, whose options may be changed between steps. `parameters` are all of
    them by name; one without a name is named by its number. State is kept and saved by name, in arrays of the
    parameter's shape, dtype and device that begin as zeros.
    """

    state_names: tuple[str, ...] = ()

    def __init__(self, params: Iterable[Any], *defaults: Any, **options: Any) -> None:
        if defaults:  # PyTorch's dict of them
            raise TypeError(f"the options of {type(self).__name__} have names: super().__init__(params, lr=lr)")
        self.defaults = options
        self.steps = 0
        self.param_groups: list[dict[str, Any]] = []
        self.parameters: dict[str, Tensor] = {}
        self.state: dict[tuple[str, str], Array] = {}
        self.parameter_steps: dict[str, int] = {}  # how often each was updated
        for group in named_groups(params, type(self).__name__):
            self.add_param_group(group)
        if not self.parameters:
            raise ValueError(
                f"{type(self).__name__} was given no parameter that requires a gradient; pass model.parameters(), anew "
                "for each optimizer, because an iterator is used up once read"
            )

    def add_param_group(self, group: Mapping[str, Any]) -> None:
        """One more group: "params" as the optimizer takes them, and options in place of the optimizer's own.

        ValueError where a parameter is in another group already, or two have one name; TypeError for unknown options.
        """
        rule, (own,) = type(self).__name__, named_groups([group], type(self).__name__)
        pairs, given = own["params"], {name: value for name, value in own.items() if name != "params"}
        if unknown := sorted(given.keys() - self.defaults.keys()):
            raise TypeError(
                f"a parameter group of {rule} has the options {', '.join(self.defaults)}; not '{unknown[0]}'"
            )
        kept: dict[int, tuple[str, Tensor]] = {}
        taken = {id(tensor): name for name, tensor in self.parameters.items()}
        for number, (name, tensor) in enumerate(pairs, start=len(self.parameters)):
            name = str(number) if name is None else name
            if not tensor.requires_grad or id(tensor) in kept:
                continue
            if id(tensor) in taken:
                raise ValueError(f"{rule}: parameter '{taken[id(tensor)]}' is in two groups; leave it out of one")
            if name in self.parameters or any(name == other for other, _ in kept.values()):
                raise ValueError(f"{rule}: two parameters have the name '{name}'; give each its own")
            kept[id(tensor)] = name, tensor
        for name, tensor in kept.values():
            self.parameters[name], self.parameter_steps[name] = tensor, 0
            for kind in self.state_names:
                self.state[kind, name] = array_module(tensor.data).zeros_like(tensor.data, order="C")
        self.param_groups.append({
            "params": [tensor for _, tensor in kept.values()],
            "param_names": [name for name, _ in kept.values()],
            **self.defaults,
            **given,
            "decays_all": "weight_decay" in given,
        })  # fmt: skip

    def lr(self, step: int) -> float:
        """The learning rate of the first group after `step` steps."""
        return _at(self.param_groups[0]["lr"], step)

    def update(self, parameter: Array, grad: Array, state: list[Array], options: Mapping[str, Any]) -> None:
        """Change a tile (elements,) of a parameter and of its state, in the order of `state_names`, in place.

        grad: a copy, which may be overwritten. options: those of the group, the numbers of this step: "lr"; the
        "weight_decay" that applies to this parameter; "step", how often this parameter was updated, this time included.
        """
        raise TypeError(f"{type(self).__name__} defines no update()")

    def step(self, grad_scale: float = 1.0) -> None:
        """One step down the gradients times `grad_scale`. A parameter without a gradient stays as it is."""
        for group in self.param_groups:
            own = {**group, "lr": _at(group["lr"], self.steps)}
            of_bias = own if group["decays_all"] or "weight_decay" not in group else {**own, "weight_decay": 0.0}
            for name, tensor in zip(group["param_names"], group["params"], strict=True):
                if tensor.grad is not None:
                    self.parameter_steps[name] += 1
                    options = own if tensor.ndim > 1 else of_bias
                    options["step"] = self.parameter_steps[name]
                    self._update(name, tensor, grad_scale, options)
        self.steps += 1

    def _update(self, name: str, tensor: Tensor, grad_scale: float, options: Mapping[str, Any]) -> None:
        data, gradient = tensor.data, raw(tensor.grad)
        if gradient.shape != data.shape:
            raise ValueError(f"'{name}' has shape {data.shape}, and its .grad {gradient.shape}; they must be equal")
        flat = [array.reshape(-1) for array in (data, gradient, *self._state_of(name))]

        def update(tile: slice) -> None:
            parameter, grad, *state = (array[tile] for array in flat)
            if self.update(parameter, grad * grad_scale, state, options) is not None:  # type: ignore[func-returns-value]
                raise TypeError(
                    f"the update of {type(self).__name__} returned something; it changes the tile that it is given in "
                    "place: parameter -= options['lr'] * grad"
                )

        if device_of(data) == "cpu":
            parallel_map(update, tiles(data.size, TILE))
        else:
            update(slice(None))
        if not data.flags.c_contiguous:  # then what was updated is a copy
            data[...] = flat[0].reshape(data.shape)
        mark_changed(data)

    def zero_grad(self) -> None:
        for tensor in self.parameters.values():
            tensor.grad = None

    def state_dict(self) -> dict[str, np.ndarray[Any, Any]]:
        """'steps', an int64, and every array of the state as 'exp_avg/layers.0.weight': on the CPU the very memory.

        Of a parameter that was not updated in every step, 'steps/layers.0.weight' says how often it was.
        """
        arrays = {f"{kind}/{name}": to_numpy(array) for (kind, name), array in self.state.items()}
        rare = {f"steps/{name}": np.array(n, np.int64) for name, n in self.parameter_steps.items() if n != self.steps}
        return {"steps": np.array(self.steps, np.int64), **rare, **arrays}

    def load_state_dict(self, state: Mapping[str, np.ndarray[Any, Any]]) -> None:
        """Copy the state of an optimizer of the same kind over parameters of the same names and shapes.

        ValueError where names or shapes differ.
        """
        own = {f"{kind}/{name}": (kind, name) for kind, name in self.state}
        rare = {f"steps/{name}": name for name in self.parameters}
        if state.keys() - rare.keys() != own.keys() | {"steps"}:
            raise ValueError(f"the saved state is not one of {type(self).__name__} over these parameters")
        for text, key in own.items():
            if state[text].shape != self.state[key].shape:
                raise ValueError(f"'{text}' has shape {state[text].shape} where {self.state[key].shape} is needed")
            self.state[key] = to_device(np.array(state[text]), device_of(self.state[key]))
        self.steps = int(state["steps"])
        self.parameter_steps = {name: int(state.get(text, state["steps"])) for text, name in rare.items()}

    def _state_of(self, name: str) -> list[Array]:
        return [self.state[kind, name] for kind in self.state_names]


def _at(lr: float | Callable[[int], float], step: int) -> float:
    return lr(step) if callable(lr) else lr
