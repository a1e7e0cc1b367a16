"""Tensor, and the decorator that turns `arrays -> (value, backward)` into `tensors -> tensor`."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Any, Self
from weakref import ref

import numpy as np

from scratchgrad.autograd import Backward, Node, Walk, recording
from scratchgrad.backend import Array, Device, array_module, device_of, to_device, to_numpy

Forward = Callable[..., tuple[Array, Backward]]

OPS: dict[str, Callable[..., Tensor]] = {}  # every op by name; its specification is its `__wrapped__`
KERNELS: dict[tuple[str, Device], Forward] = {}  # faster ways, by op and device


class Tensor:
    """An array that a gradient can be asked for.

    `data` is a numpy or cupy array, used as it is and not copied; a Python number or list becomes float32, or int64 if
    it holds integers only. With `requires_grad` the tensor is a leaf: `backward()` leaves its gradient in `.grad`.
    """

    __slots__ = ("__weakref__", "data", "grad", "node")
    __array_priority__ = 1000  # numpy_array * tensor calls Tensor.__rmul__
    __array_ufunc__ = None

    def __init__(self, data: Any, requires_grad: bool = False) -> None:
        if not hasattr(data, "dtype"):
            data = np.asarray(data)
            if data.dtype == np.float64:
                data = data.astype(np.float32)
        self.data: Array = data
        self.grad: Array | None = None
        self.node: Node | None = None
        if requires_grad:
            self.requires_grad = True

    @property
    def requires_grad(self) -> bool:
        """Can a gradient reach this tensor? Setting it makes a leaf of the tensor, or a constant."""
        return self.node is not None

    @requires_grad.setter
    def requires_grad(self, wanted: bool) -> None:
        if not wanted:
            self.node = None
        elif self.node is None:
            if self.data.dtype.kind != "f" and self.data.dtype.name != "bfloat16":
                raise TypeError(f"only floating-point tensors have gradients, this one holds {self.data.dtype}")
            self.node = Node("leaf", self.data, leaf=ref(self))

    @property
    def shape(self) -> tuple[int, ...]:
        shape: tuple[int, ...] = self.data.shape
        return shape

    @property
    def ndim(self) -> int:
        return len(self.data.shape)

    @property
    def size(self) -> int:
        return int(self.data.size)

    @property
    def dtype(self) -> Any:
        return self.data.dtype

    @property
    def device(self) -> Device:
        return device_of(self.data)

    def numpy(self) -> np.ndarray[Any, Any]:
        """The values as a numpy array: the same memory on the CPU, a copy from a GPU."""
        return to_numpy(self.data)

    def item(self) -> float | int:
        """The one value of a tensor that has one."""
        value: float | int = self.data.item()
        return value

    def detach(self) -> Tensor:
        """The same values, with no memory of how they were made."""
        return Tensor(self.data)

    def to(self, device: str) -> Self:
        """Move the values (and the gradient) of this leaf to 'cpu' or 'cuda', in place."""
        if self.node is not None and self.node.leaf is None:
            raise RuntimeError(f"to(): '{self.node.name}' made this tensor; move the leaves that it was made from")
        self.data = to_device(self.data, device)
        if self.grad is not None:
            self.grad = to_device(self.grad, device)
        return self

    def backward(self, gradient: Array | None = None, on_final: Callable[[Tensor], None] | None = None) -> None:
        """Add d(self)/d(leaf) to the .grad of every leaf below; `on_final` hears of each leaf once it is complete.

        `gradient`: an array of self's shape, d(what you differentiate)/d(self); 1 for a tensor of one element.
        """
        if self.node is None:
            raise RuntimeError("backward() on a tensor that no gradient was asked of: no leaf below it requires_grad")
        if gradient is None:
            if self.data.size != 1:
                raise ValueError(
                    f"backward() without a gradient needs one element, this tensor has shape {self.shape}; "
                    "sum it first, or pass a gradient of that shape"
                )
            gradient = array_module(self.data).ones_like(self.data)
        elif gradient.shape != self.shape:
            raise ValueError(f"backward() of shape {self.shape} was given a gradient of shape {gradient.shape}")
        Walk(self.node, gradient, on_final)

    def __repr__(self) -> str:
        made = f", made by {self.node.name}" if self.node is not None and self.node.leaf is None else ""
        asked = ", requires_grad=True" if self.node is not None and self.node.leaf is not None else ""
        where = ", device=cuda" if self.device == "cuda" else ""
        values = np.array2string(self.numpy(), separator=", ", prefix="Tensor(", threshold=40, edgeitems=3)
        return f"{type(self).__name__}({values}, shape={self.shape}, dtype={self.dtype}{where}{asked}{made})"

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: Any) -> Tensor:
        return OPS["getitem"](self, index=index)

    def __add__(self, other: Any) -> Tensor:
        return OPS["add"](self, other)

    def __sub__(self, other: Any) -> Tensor:
        return OPS["sub"](self, other)

    def __rsub__(self, other: Any) -> Tensor:
        return OPS["sub"](other, self)

    def __mul__(self, other: Any) -> Tensor:
        return OPS["mul"](self, other)

    def __truediv__(self, other: Any) -> Tensor:
        return OPS["div"](self, other)

    def __rtruediv__(self, other: Any) -> Tensor:
        return OPS["div"](other, self)

    def __neg__(self) -> Tensor:
        return OPS["neg"](self)

    def __pow__(self, exponent: float) -> Tensor:
        return OPS["pow"](self, exponent=exponent)

    def __matmul__(self, other: Any) -> Tensor:
        return OPS["matmul"](self, other)

    __radd__, __rmul__ = __add__, __mul__

    def sum(self, axis: int | tuple[int, ...] | None = None, keepdims: bool = False) -> Tensor:
        return OPS["sum"](self, axis=axis, keepdims=keepdims)

    def mean(self, axis: int | tuple[int, ...] | None = None, keepdims: bool = False) -> Tensor:
        return OPS["mean"](self, axis=axis, keepdims=keepdims)

    def reshape(self, *shape: int) -> Tensor:
        return OPS["reshape"](self, shape=shape)

    def transpose(self, *axes: int) -> Tensor:
        """The axes in another order; with no argument, in reverse."""
        return OPS["transpose"](self, axes=axes or None)


def op(forward: Forward) -> Callable[..., Tensor]:
    """Make an op of a function on raw arrays that returns its value and its backward.

    The parameters before `*` are arrays (tensors, arrays or numbers when called), those after it are options. An op
    with an option `needs_grad` is told, array by array, whether a gradient is wanted.
    """
    name = forward.__name__
    parameters = inspect.signature(forward).parameters.values()
    arrays = [p for p in parameters if p.kind is not p.KEYWORD_ONLY]
    is_told = any(p.name == "needs_grad" for p in parameters)

    @wraps(forward)
    def apply(*args: Any, **options: Any) -> Tensor:
        if len(args) < len(arrays):
            args += tuple(_argument(name, p, options) for p in arrays[len(args) :])
        values, sources, wanted = [], [], False
        for argument in args:
            if isinstance(argument, Tensor):
                values.append(argument.data)
                sources.append(argument.node)
                wanted = wanted or argument.node is not None
            else:
                values.append(argument)
                sources.append(None)
        wanted = wanted and recording()
        if is_told:
            options["needs_grad"] = tuple(wanted and source is not None for source in sources)
        run = KERNELS.get((name, "cpu" if type(values[0]) is np.ndarray else device_of(values[0])), forward)
        try:
            value, backward = run(*values, **options)
        except ValueError as error:
            raise _with_shapes(name, arrays, values, error) from error
        if type(value) is not np.ndarray:
            value = array_module(value).asarray(value)  # numpy hands back scalars for 0-d results
        out = Tensor(value)
        if wanted:
            out.node = Node(name, value, tuple(sources), backward)
        return out

    OPS[name] = apply
    return apply


def kernel(name: str, device: Device) -> Callable[[Forward], Forward]:
    """Register a faster way to compute op `name` on `device`: the same signature, the same results."""

    def register(forward: Forward) -> Forward:
        KERNELS[name, device] = forward
        return forward

    return register


def _argument(name: str, parameter: inspect.Parameter, options: dict[str, Any]) -> Any:
    if parameter.name in options:
        return options.pop(parameter.name)
    if parameter.default is parameter.empty:
        raise TypeError(f"{name}(): the argument '{parameter.name}' is missing")
    return parameter.default


def _with_shapes(name: str, arrays: list[inspect.Parameter], values: list[Any], error: ValueError) -> ValueError:
    """The array library's complaint, with the op and the shape of every argument."""
    shapes = ", ".join(f"{p.name} {tuple(getattr(v, 'shape', ()))}" for p, v in zip(arrays, values, strict=False))
    return type(error)(f"{name}({shapes}): {error}") if type(error) is ValueError else error
