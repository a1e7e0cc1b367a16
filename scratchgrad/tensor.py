"""Tensor: an array, the node that made it, and its gradient."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from operator import iadd, ifloordiv, imod, imul, ipow, isub, itruediv, setitem
from typing import Any, Self
from weakref import ref

import numpy as np

from scratchgrad.autograd import GRAD_ENABLED, Hook, Node
from scratchgrad.backend import Array, Device, array_module, device_of, to_device, to_numpy
from scratchgrad.backward_pass import BackwardPass, BackwardStep, accumulate
from scratchgrad.methods import Methods
from scratchgrad.op_errors import op_error
from scratchgrad.operators import OPS, Operators
from scratchgrad.versions import mark_changed


class Tensor(Operators["Tensor"], Methods["Tensor"]):
    """An array that a gradient can be asked for.

    `data` is a numpy or cupy array, used as it is and not copied, or a tensor, whose array it is; a Python number or
    list becomes float32, or int64 if it holds integers only. TypeError where it holds something else than numbers. With
    `requires_grad` the tensor is a leaf: `backward()` leaves its gradient in `.grad`.
    """

    __slots__ = ("__weakref__", "_data", "grad", "node")
    __array_priority__ = 1000  # cupy_array * tensor calls Tensor.__rmul__

    def __init__(self, data: Any, requires_grad: bool = False) -> None:
        if isinstance(data, Tensor):  # Parameter(randn(2, 3))
            data = data._data
        elif not hasattr(data, "dtype"):
            given, data = data, np.asarray(data)
            if data.dtype == np.float64:
                data = data.astype(np.float32)
            elif data.dtype.kind in "OSU":
                raise TypeError(f"a tensor holds numbers; a {type(given).__name__} was given that is or has none")
        self._data: Array = data
        self.grad: Array | None = None
        self.node: Node | None = None
        if requires_grad:
            self.requires_grad = True

    # What it is

    @property
    def data(self) -> Array:
        """The array itself. `t.data = array` puts another in its place; `t.data -= 1` changes it, and is noticed."""
        return self._data

    @data.setter
    def data(self, array: Array) -> None:
        if isinstance(array, Tensor):
            array = array._data
        if array is self._data:  # what `t.data -= 1` ends with
            mark_changed(array)
        self._data = array

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

    def dim(self) -> int:
        """PyTorch's name of ndim."""
        return self.ndim

    def numel(self) -> int:
        """PyTorch's name of size."""
        return self.size

    def requires_grad_(self, wanted: bool = True) -> Self:
        """Set requires_grad; returns the tensor itself."""
        self.requires_grad = wanted
        return self

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
        """Add d(self)/d(leaf) to the .grad of every leaf below; `on_final` is called with each leaf once its
        gradient is complete.

        `gradient`: of self's shape, d(what you differentiate)/d(self); 1 for a tensor of one element.
        """
        root = self._root(gradient)
        if on_final is None:
            BackwardPass([root], accumulate).run()
            return
        finished = on_final

        def finish_leaf(leaf: Tensor, gradient: Array | None, owned: bool) -> None:
            accumulate(leaf, gradient, owned)
            finished(leaf)

        BackwardPass([root], finish_leaf).run()

    def register_hook(self, hook: Hook) -> Callable[[], None]:
        """Call hook(gradient) once a backward pass has the whole gradient of this tensor; returns what removes it.

        The hook may return another array, which takes the gradient's place. It must not write to the one it gets.
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
        """The node that a backward pass from here starts at, and its gradient."""
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
            for name in ("_data", "grad"):
                array = getattr(self, name)
                if array is not None:
                    is_device = target in ("cpu", "cuda")
                    setattr(self, name, to_device(array, target) if is_device else array.astype(target, copy=False))
        if self.node is not None:
            self.node.dtype = self.data.dtype
        return self

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray[Any, Any]:
        return np.array(self.numpy(), dtype=dtype, copy=copy)

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
        part: Tensor = OPS["getitem"](self, index=_raw_index(index))
        return part

    # Changes in place

    def __setitem__(self, index: Any, value: Any) -> None:
        """Write into this tensor, and the gradients follow; into a leaf that requires one under no_grad() only."""
        index = _raw_index(index)
        self._change("setitem", "x[...] = y", lambda array, values: setitem(array, index, values), value, index=index)

    def __iadd__(self, other: Any) -> Self:
        return self._change("add", "x += y", iadd, other)

    def __isub__(self, other: Any) -> Self:
        return self._change("sub", "x -= y", isub, other)

    def __imul__(self, other: Any) -> Self:
        return self._change("mul", "x *= y", imul, other)

    def __itruediv__(self, other: Any) -> Self:
        return self._change("div", "x /= y", itruediv, other)

    def __ifloordiv__(self, other: Any) -> Self:
        return self._change("floor_divide", "x //= y", ifloordiv, other)

    def __imod__(self, other: Any) -> Self:
        return self._change("remainder", "x %= y", imod, other)

    def __ipow__(self, other: Any) -> Self:
        return self._change("pow", "x **= y", ipow, other)

    def _change(self, name: str, text: str, write: Callable[[Array, Any], Any], other: Any, **options: Any) -> Self:
        """This tensor as op `name` makes it of itself and `other`.

        Where nothing is recorded, `write` changes the memory, and all views see it. Else the tensor takes over the op's
        result, which is a new array: what backward passes have kept of the old one stays as it was.
        """
        node = self.node
        if not GRAD_ENABLED.get() or (node is None and (not isinstance(other, Tensor) or other.node is None)):
            try:
                write(self._data, raw(other))
            except (ValueError, TypeError, IndexError) as error:
                raise op_error(f"in place, {name}", ("x", "y"), (self._data, raw(other)), options, error) from error
            mark_changed(self._data)
            return self
        if node is not None and node.leaf is not None:
            raise RuntimeError(
                f"{text} where x is a leaf that requires grad: write it under no_grad(), as optimizers do, or make a "
                "new tensor: x = x + y, F.where, F.concatenate"
            )
        if self._data.base is not None and (node is None or node.name == "getitem"):
            raise RuntimeError(
                f"{text} where x is a view of another array, and a gradient is recorded, which the other would not "
                "see: make a new tensor, x = x + y, or write into the whole: whole[i] = x + y"
            )
        result = OPS[name](self, other, **options)
        if result.shape != self.shape or result.dtype != self.dtype:
            if result.shape != self.shape or self.dtype.kind in "iub":
                raise TypeError(
                    f"{text} where x {self.shape} {self.dtype} cannot hold the result {result.shape} {result.dtype}: "
                    "make a new tensor, as in x = x + y"
                )
            result = OPS["astype"](result, dtype=self.dtype)
        self._data, self.node = result._data, result.node
        return self


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


def trace_backward(root: Tensor, gradient: Array | Tensor | None = None) -> Iterator[BackwardStep]:
    """root.backward(gradient), one node at a time: which op runs, what comes in and goes out, what is summed and freed.

    for step in trace_backward(loss):
        print(step)
    """
    yield from BackwardPass([root._root(gradient)], accumulate).steps()


def raw(value: Any) -> Any:
    """The array of a tensor; anything else as it is."""
    return value.data if isinstance(value, Tensor) else value


def _raw_index(index: Any) -> Any:
    return tuple(raw(entry) for entry in index) if isinstance(index, tuple) else raw(index)
