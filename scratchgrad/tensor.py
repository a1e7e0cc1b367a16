"""Tensor, and the decorator that turns `arrays -> (value, backward)` into `tensors -> tensor`."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from functools import wraps
from typing import Any, Literal, Self
from weakref import ref

import numpy as np

from scratchgrad.autograd import Backward, BackwardPass, Hook, Node, Step, accumulate, state
from scratchgrad.backend import Array, Device, array_module, device_of, to_device, to_numpy
from scratchgrad.op_errors import op_error

Axis = int | tuple[int, ...] | None
Forward = Callable[..., tuple[Array, Backward | None]]
Precision = Literal["float32", "bf16"]  # of the operands of matrix products

OPS: dict[str, Callable[..., Tensor]] = {}  # every op by name; its specification is its `__wrapped__`
KERNELS: dict[str, dict[Device, Forward]] = {}  # the faster ways that are in use, by op and device
REGISTERED: dict[Precision, dict[tuple[str, Device], Forward]] = {"float32": {}, "bf16": {}}


class Tensor:
    """An array that a gradient can be asked for.

    `data` is a numpy or cupy array, used as it is and not copied; a Python number or list becomes float32, or int64 if
    it holds integers only. With `requires_grad` the tensor is a leaf: `backward()` leaves its gradient in `.grad`.
    """

    __slots__ = ("__weakref__", "data", "grad", "node")
    __array_priority__ = 1000  # cupy_array * tensor calls Tensor.__rmul__

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

    # What it is

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
    def is_leaf(self) -> bool:
        """Was it made by the user, and not by an op with a gradient?"""
        return self.node is None or self.node.leaf is not None

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
    def nbytes(self) -> int:
        return int(self.data.nbytes)

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

    def tolist(self) -> Any:
        return self.data.tolist()

    def __repr__(self) -> str:
        made = f", made by {self.node.name}" if self.node is not None and self.node.leaf is None else ""
        asked = ", requires_grad=True" if self.node is not None and self.node.leaf is not None else ""
        where = ", device=cuda" if self.device == "cuda" else ""
        values = np.array2string(self.numpy(), separator=", ", prefix="Tensor(", threshold=40, edgeitems=3)
        return f"{type(self).__name__}({values}, shape={self.shape}, dtype={self.dtype}{where}{asked}{made})"

    # Gradients

    def detach(self) -> Tensor:
        """The same values, with no memory of how they were made."""
        return Tensor(self.data)

    def backward(
        self, gradient: Array | Tensor | None = None, on_final: Callable[[Tensor], None] | None = None
    ) -> None:
        """Add d(self)/d(leaf) to the .grad of every leaf below; `on_final` hears of each leaf once it is complete.

        `gradient`: of self's shape, d(what you differentiate)/d(self); 1 for a tensor of one element.
        """
        root = self._root(gradient)
        if on_final is None:
            BackwardPass([root], accumulate).run()
            return
        listener = on_final

        def deliver(leaf: Tensor, gradient: Array | None, owned: bool) -> None:
            accumulate(leaf, gradient, owned)
            listener(leaf)

        BackwardPass([root], deliver).run()

    def register_hook(self, hook: Hook) -> Callable[[], None]:
        """Call hook(gradient) when a walk knows the whole gradient of this tensor; returns what takes the hook away.

        The hook may return another array, with which the walk goes on. It does not write to the one it was given.
        """
        if self.node is None:
            raise RuntimeError("register_hook() on a tensor that no gradient reaches: no leaf below it requires_grad")
        if self.node.hooks is None:
            self.node.hooks = []
        hooks = self.node.hooks
        hooks.append(hook)
        return lambda: hooks.remove(hook)

    def retain_grad(self) -> Self:
        """Keep the gradient of this tensor in .grad, too, though an op made it."""
        if self.node is None or self.node.leaf is None:
            tensor = ref(self)

            def keep(gradient: Array) -> None:
                if (kept := tensor()) is not None:
                    kept.grad = gradient.copy()

            self.register_hook(keep)
        return self

    def _root(self, gradient: Array | Tensor | None) -> tuple[Node, Array]:
        """Where a walk from here starts, and with what."""
        if self.node is None:
            raise RuntimeError("backward() on a tensor that no gradient was asked of: no leaf below it requires_grad")
        if gradient is None:
            if self.data.size != 1:
                raise ValueError(
                    f"backward() without a gradient needs one element, this tensor, made by '{self.node.name}', has "
                    f"shape {self.shape}; sum it first, or pass a gradient of that shape"
                )
            return self.node, array_module(self.data).ones_like(self.data)
        array = raw(gradient)
        if array.shape != self.shape:
            raise ValueError(
                f"backward() of '{self.node.name}', of shape {self.shape}, was given a gradient of shape {array.shape}"
            )
        return self.node, array

    # Places and other libraries

    def to(self, *targets: Any) -> Self:
        """Move to a device ('cpu', 'cuda') and cast to a dtype: to("cuda"), to("float16"), to("cuda", np.float32).

        A leaf moves and casts itself, and its gradient, in place, so that optimizers keep hold of it.
        """
        if self.node is not None and self.node.leaf is None:
            raise RuntimeError(f"to(): '{self.node.name}' made this tensor; use astype(), or move the leaves below it")
        for target in targets:
            for name in ("data", "grad"):
                array = getattr(self, name)
                if array is not None:
                    is_device = target in ("cpu", "cuda")
                    setattr(self, name, to_device(array, target) if is_device else array.astype(target, copy=False))
        if self.node is not None:
            self.node.dtype = self.data.dtype
        return self

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray[Any, Any]:
        return np.array(self.numpy(), dtype=dtype, copy=copy)

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Tensor:
        """array + tensor and the like are ops; every other NumPy function would silently leave the record."""
        name = NUMPY_OPERATORS.get(ufunc.__name__)
        if name is None or method != "__call__" or options:
            raise _leaves_the_record(ufunc.__name__)
        return OPS[name](*inputs)

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        raise _leaves_the_record(function.__name__)

    def __dlpack__(self, **options: Any) -> Any:
        return self.data.__dlpack__(**options)

    def __dlpack_device__(self) -> tuple[int, int]:
        device: tuple[int, int] = self.data.__dlpack_device__()
        return device

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """A leaf or constant of its own memory. What an op made has a history that is not copied: use copy()."""
        if not self.is_leaf:
            raise RuntimeError(f"deepcopy of a tensor that '{self.node.name}' made; use copy() or detach()")  # type: ignore[union-attr]
        twin = type(self)(self.data.copy(), requires_grad=self.requires_grad)
        twin.grad = None if self.grad is None else self.grad.copy()
        memo[id(self)] = twin
        return twin

    # Elements

    def __len__(self) -> int:
        return len(self.data)

    def __iter__(self) -> Iterator[Tensor]:
        return (self[i] for i in range(len(self)))

    def __bool__(self) -> bool:
        return bool(self.data)

    def __float__(self) -> float:
        return float(self.data)

    def __int__(self) -> int:
        return int(self.data)

    def __getitem__(self, index: Any) -> Tensor:
        return OPS["getitem"](self, index=_raw_index(index))

    def __setitem__(self, index: Any, value: Any) -> None:
        """Write into a constant, or into a leaf under no_grad(). An op's result may be kept by a backward pass."""
        if self.node is not None and (self.node.leaf is None or state.grad_enabled):
            raise RuntimeError(
                f"t[...] = value on a tensor with a gradient (of '{self.node.name}'); use F.where, F.scatter_add or "
                "F.index_add, or write into a leaf under no_grad()"
            )
        self.data[_raw_index(index)] = raw(value)

    # Operators

    def __add__(self, other: Any) -> Tensor:
        return OPS["add"](self, other)

    def __radd__(self, other: Any) -> Tensor:
        return OPS["add"](other, self)

    def __sub__(self, other: Any) -> Tensor:
        return OPS["sub"](self, other)

    def __rsub__(self, other: Any) -> Tensor:
        return OPS["sub"](other, self)

    def __mul__(self, other: Any) -> Tensor:
        return OPS["mul"](self, other)

    def __rmul__(self, other: Any) -> Tensor:
        return OPS["mul"](other, self)

    def __truediv__(self, other: Any) -> Tensor:
        return OPS["div"](self, other)

    def __rtruediv__(self, other: Any) -> Tensor:
        return OPS["div"](other, self)

    def __floordiv__(self, other: Any) -> Tensor:
        return OPS["floor_divide"](self, other)

    def __rfloordiv__(self, other: Any) -> Tensor:
        return OPS["floor_divide"](other, self)

    def __mod__(self, other: Any) -> Tensor:
        return OPS["remainder"](self, other)

    def __rmod__(self, other: Any) -> Tensor:
        return OPS["remainder"](other, self)

    def __pow__(self, other: Any) -> Tensor:
        return OPS["pow"](self, other)

    def __rpow__(self, other: Any) -> Tensor:
        return OPS["pow"](other, self)

    def __matmul__(self, other: Any) -> Tensor:
        return OPS["matmul"](self, other)

    def __rmatmul__(self, other: Any) -> Tensor:
        return OPS["matmul"](other, self)

    def __neg__(self) -> Tensor:
        return OPS["neg"](self)

    def __abs__(self) -> Tensor:
        return OPS["abs"](self)

    def __eq__(self, other: object) -> Tensor:  # type: ignore[override]
        return OPS["eq"](self, other)

    def __ne__(self, other: object) -> Tensor:  # type: ignore[override]
        return OPS["ne"](self, other)

    def __lt__(self, other: Any) -> Tensor:
        return OPS["lt"](self, other)

    def __le__(self, other: Any) -> Tensor:
        return OPS["le"](self, other)

    def __gt__(self, other: Any) -> Tensor:
        return OPS["gt"](self, other)

    def __ge__(self, other: Any) -> Tensor:
        return OPS["ge"](self, other)

    __hash__ = object.__hash__  # a tensor is itself, whatever its values

    # Ops as methods: those that NumPy's arrays have

    def sum(self, axis: Axis = None, keepdims: bool = False) -> Tensor:
        return OPS["sum"](self, axis=axis, keepdims=keepdims)

    def mean(self, axis: Axis = None, keepdims: bool = False) -> Tensor:
        return OPS["mean"](self, axis=axis, keepdims=keepdims)

    def var(self, axis: Axis = None, keepdims: bool = False, ddof: int = 0) -> Tensor:
        return OPS["var"](self, axis=axis, keepdims=keepdims, ddof=ddof)

    def std(self, axis: Axis = None, keepdims: bool = False, ddof: int = 0) -> Tensor:
        return OPS["std"](self, axis=axis, keepdims=keepdims, ddof=ddof)

    def max(self, axis: Axis = None, keepdims: bool = False) -> Tensor:
        return OPS["max"](self, axis=axis, keepdims=keepdims)

    def min(self, axis: Axis = None, keepdims: bool = False) -> Tensor:
        return OPS["min"](self, axis=axis, keepdims=keepdims)

    def prod(self, axis: Axis = None, keepdims: bool = False) -> Tensor:
        return OPS["prod"](self, axis=axis, keepdims=keepdims)

    def any(self, axis: Axis = None, keepdims: bool = False) -> Tensor:
        return OPS["any"](self, axis=axis, keepdims=keepdims)

    def all(self, axis: Axis = None, keepdims: bool = False) -> Tensor:
        return OPS["all"](self, axis=axis, keepdims=keepdims)

    def argmax(self, axis: int | None = None, keepdims: bool = False) -> Tensor:
        return OPS["argmax"](self, axis=axis, keepdims=keepdims)

    def argmin(self, axis: int | None = None, keepdims: bool = False) -> Tensor:
        return OPS["argmin"](self, axis=axis, keepdims=keepdims)

    def cumsum(self, axis: int) -> Tensor:
        return OPS["cumsum"](self, axis=axis)

    def reshape(self, *shape: Any) -> Tensor:
        return OPS["reshape"](self, shape=_one_or_many(shape))

    def transpose(self, *axes: Any) -> Tensor:
        """The axes in another order; with no argument, in reverse."""
        return OPS["transpose"](self, axes=_one_or_many(axes) or None)

    @property
    def T(self) -> Tensor:  # noqa: N802  (NumPy's name)
        """The axes in reverse."""
        return OPS["transpose"](self)

    def swapaxes(self, axis1: int, axis2: int) -> Tensor:
        return OPS["swapaxes"](self, axis1=axis1, axis2=axis2)

    def squeeze(self, axis: Axis = None) -> Tensor:
        return OPS["squeeze"](self, axis=axis)

    def repeat(self, repeats: int, axis: int) -> Tensor:
        return OPS["repeat"](self, repeats=repeats, axis=axis)

    def take(self, indices: Any, axis: int = 0) -> Tensor:
        return OPS["take"](self, indices, axis=axis)

    def copy(self) -> Tensor:
        return OPS["copy"](self)

    def astype(self, dtype: Any) -> Tensor:
        return OPS["astype"](self, dtype=dtype)

    def exp(self) -> Tensor:
        return OPS["exp"](self)

    def log(self) -> Tensor:
        return OPS["log"](self)

    def sqrt(self) -> Tensor:
        return OPS["sqrt"](self)

    def tanh(self) -> Tensor:
        return OPS["tanh"](self)

    def clamp(self, min: float | None = None, max: float | None = None) -> Tensor:
        return OPS["clamp"](self, min=min, max=max)


def grad(
    outputs: Tensor | Sequence[Tensor],
    inputs: Sequence[Tensor],
    grad_outputs: Sequence[Array | Tensor | None] | None = None,
) -> list[Array | None]:
    """d(sum of outputs * grad_outputs)/d(input) for each input; None for one that the outputs do not depend on.

    Nothing is added to any .grad, and what does not lead to the inputs is not computed. Inputs may be leaves or what
    ops made. grad_outputs: of the outputs' shapes; None for those of one element.
    """
    several = [outputs] if isinstance(outputs, Tensor) else list(outputs)
    roots = [out._root(g) for out, g in zip(several, grad_outputs or [None] * len(several), strict=True)]
    found: dict[Node, Array] = {}
    takers: list[Callable[[], None]] = []
    for tensor in inputs:
        if tensor.node is None:
            raise RuntimeError(f"grad(): an input of shape {tensor.shape} has no gradient: it does not require_grad")

        def take(gradient: Array, node: Node = tensor.node) -> None:
            found[node] = gradient.copy()

        takers.append(tensor.register_hook(take))
    try:
        BackwardPass(roots, lambda *_: None, frozenset(t.node for t in inputs if t.node is not None)).run()
    finally:
        for remove in takers:
            remove()
    return [found.get(t.node) for t in inputs if t.node is not None]


def trace_backward(root: Tensor, gradient: Array | Tensor | None = None) -> Iterator[Step]:
    """root.backward(gradient), one node at a time: which op runs, what comes in and goes out, what is summed and freed.

    for step in trace_backward(loss):
        print(step)
    """
    yield from BackwardPass([root._root(gradient)], accumulate).steps()


def op(forward: Forward) -> Callable[..., Tensor]:
    """Make an op of a function on raw arrays that returns its value and its backward (None: it has no gradient).

    The parameters before `*` are arrays (tensors, arrays or numbers when called), those after it are options. An op
    with an option `needs_input_grad` is told, array by array, whether a gradient is wanted. An op of `*arrays` can be
    given them one by one, or as one list.
    """
    name = forward.__name__
    parameters = list(inspect.signature(forward).parameters.values())
    arrays = [p for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]
    takes_any = any(p.kind is p.VAR_POSITIONAL for p in parameters)
    is_told = any(p.name == "needs_input_grad" for p in parameters)
    names, least = [p.name for p in arrays], len(arrays)
    kernels = KERNELS.setdefault(name, {})
    new, ndarray = object.__new__, np.ndarray

    @wraps(forward)
    def apply(*args: Any, **options: Any) -> Tensor:
        if len(args) < least:
            args += tuple(_argument(name, p, options) for p in arrays[len(args) :])
        elif takes_any and len(args) == 1 and isinstance(args[0], list | tuple):
            args = tuple(args[0])
        values, sources, wanted = [], [], False
        for argument in args:
            if isinstance(argument, Tensor):
                values.append(argument.data)
                node = argument.node
                sources.append(node)
                wanted = wanted or node is not None
            else:
                values.append(argument)
                sources.append(None)
        wanted = wanted and state.grad_enabled
        if is_told:
            options["needs_input_grad"] = tuple(wanted and source is not None for source in sources)
        run = kernels.get(device_of(values[0]), forward) if kernels else forward
        try:
            value, backward = run(*values, **options)
        except (ValueError, TypeError, IndexError) as error:
            raise op_error(name, names, values, options, error) from error
        if type(value) is not ndarray:
            value = array_module(value).asarray(value)  # numpy hands back scalars for 0-d results
        out = new(Tensor)
        out.data, out.grad = value, None
        out.node = Node(name, value, tuple(sources), backward) if wanted and backward is not None else None
        if state.watch is not None:
            state.watch.made(out.node, name, values, value, backward)
        return out

    OPS[name] = apply
    return apply


def kernel(name: str, device: Device, precision: Precision = "float32") -> Callable[[Forward], Forward]:
    """Register a faster way to compute op `name` on `device`: the same signature, the same results.

    One of precision bf16 gives them to bf16's accuracy, and is in use only after use_kernels("bf16").
    """

    def register(forward: Forward) -> Forward:
        REGISTERED[precision][name, device] = forward
        if precision == "float32":
            KERNELS.setdefault(name, {})[device] = forward
        return forward

    return register


def use_kernels(precision: Precision) -> None:
    """Put the kernels of this precision in use; where an op has none, that of float32."""
    for known in REGISTERED.values():
        for name, device in known:
            KERNELS.setdefault(name, {}).pop(device, None)
    for (name, device), forward in {**REGISTERED["float32"], **REGISTERED[precision]}.items():
        KERNELS[name][device] = forward


def raw(value: Any) -> Any:
    """The array of a tensor; anything else as it is."""
    return value.data if isinstance(value, Tensor) else value


NUMPY_OPERATORS = {
    "add": "add", "subtract": "sub", "multiply": "mul", "divide": "div", "true_divide": "div", "power": "pow",
    "floor_divide": "floor_divide", "remainder": "remainder", "matmul": "matmul", "equal": "eq", "not_equal": "ne",
    "less": "lt", "less_equal": "le", "greater": "gt", "greater_equal": "ge",
}  # fmt: skip


def _leaves_the_record(function: str) -> TypeError:
    ours = f"use scratchgrad.functional.{function}" if function in OPS else "use an op of scratchgrad.functional"
    return TypeError(f"numpy.{function}() on a Tensor would lose its gradient: {ours}, or pass tensor.numpy()")


def _raw_index(index: Any) -> Any:
    return tuple(raw(entry) for entry in index) if isinstance(index, tuple) else raw(index)


def _one_or_many(numbers: tuple[Any, ...]) -> tuple[int, ...]:
    """reshape(2, 3) and reshape((2, 3)) are the same."""
    return tuple(numbers[0]) if len(numbers) == 1 and isinstance(numbers[0], list | tuple) else numbers


def _argument(name: str, parameter: inspect.Parameter, options: dict[str, Any]) -> Any:
    if parameter.name in options:
        return options.pop(parameter.name)
    if parameter.default is parameter.empty:
        raise TypeError(f"{name}(): the argument '{parameter.name}' is missing")
    return parameter.default
