"""The operators and methods of a Tensor that are ops, by name: NumPy's operators, and those methods of its arrays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar

Axis = int | tuple[int, ...] | None
Result = TypeVar("Result")  # Tensor, which this file stands below

OPS: dict[str, Callable[..., Any]] = {}  # every op by name; `scratchgrad.dispatch.op` puts it here


class Operators(Generic[Result]):
    """What a Tensor inherits: `Operators["Tensor"]`."""

    __slots__ = ()

    # Operators

    def __add__(self, other: Any) -> Result:
        return OPS["add"](self, other)

    def __radd__(self, other: Any) -> Result:
        return OPS["add"](other, self)

    def __sub__(self, other: Any) -> Result:
        return OPS["sub"](self, other)

    def __rsub__(self, other: Any) -> Result:
        return OPS["sub"](other, self)

    def __mul__(self, other: Any) -> Result:
        return OPS["mul"](self, other)

    def __rmul__(self, other: Any) -> Result:
        return OPS["mul"](other, self)

    def __truediv__(self, other: Any) -> Result:
        return OPS["div"](self, other)

    def __rtruediv__(self, other: Any) -> Result:
        return OPS["div"](other, self)

    def __floordiv__(self, other: Any) -> Result:
        return OPS["floor_divide"](self, other)

    def __rfloordiv__(self, other: Any) -> Result:
        return OPS["floor_divide"](other, self)

    def __mod__(self, other: Any) -> Result:
        return OPS["remainder"](self, other)

    def __rmod__(self, other: Any) -> Result:
        return OPS["remainder"](other, self)

    def __pow__(self, other: Any) -> Result:
        return OPS["pow"](self, other)

    def __rpow__(self, other: Any) -> Result:
        return OPS["pow"](other, self)

    def __matmul__(self, other: Any) -> Result:
        return OPS["matmul"](self, other)

    def __rmatmul__(self, other: Any) -> Result:
        return OPS["matmul"](other, self)

    def __neg__(self) -> Result:
        return OPS["neg"](self)

    def __abs__(self) -> Result:
        return OPS["abs"](self)

    def __eq__(self, other: object) -> Result:  # type: ignore[override]
        return OPS["eq"](self, other)

    def __ne__(self, other: object) -> Result:  # type: ignore[override]
        return OPS["ne"](self, other)

    def __lt__(self, other: Any) -> Result:
        return OPS["lt"](self, other)

    def __le__(self, other: Any) -> Result:
        return OPS["le"](self, other)

    def __gt__(self, other: Any) -> Result:
        return OPS["gt"](self, other)

    def __ge__(self, other: Any) -> Result:
        return OPS["ge"](self, other)

    __hash__ = object.__hash__  # a tensor is itself, whatever its values

    # Ops as methods: those that NumPy's arrays have

    def sum(self, axis: Axis = None, keepdims: bool = False) -> Result:
        return OPS["sum"](self, axis=axis, keepdims=keepdims)

    def mean(self, axis: Axis = None, keepdims: bool = False) -> Result:
        return OPS["mean"](self, axis=axis, keepdims=keepdims)

    def var(self, axis: Axis = None, keepdims: bool = False, ddof: int = 0) -> Result:
        return OPS["var"](self, axis=axis, keepdims=keepdims, ddof=ddof)

    def std(self, axis: Axis = None, keepdims: bool = False, ddof: int = 0) -> Result:
        return OPS["std"](self, axis=axis, keepdims=keepdims, ddof=ddof)

    def max(self, axis: Axis = None, keepdims: bool = False) -> Result:
        return OPS["max"](self, axis=axis, keepdims=keepdims)

    def min(self, axis: Axis = None, keepdims: bool = False) -> Result:
        return OPS["min"](self, axis=axis, keepdims=keepdims)

    def prod(self, axis: Axis = None, keepdims: bool = False) -> Result:
        return OPS["prod"](self, axis=axis, keepdims=keepdims)

    def any(self, axis: Axis = None, keepdims: bool = False) -> Result:
        return OPS["any"](self, axis=axis, keepdims=keepdims)

    def all(self, axis: Axis = None, keepdims: bool = False) -> Result:
        return OPS["all"](self, axis=axis, keepdims=keepdims)

    def argmax(self, axis: int | None = None, keepdims: bool = False) -> Result:
        return OPS["argmax"](self, axis=axis, keepdims=keepdims)

    def argmin(self, axis: int | None = None, keepdims: bool = False) -> Result:
        return OPS["argmin"](self, axis=axis, keepdims=keepdims)

    def cumsum(self, axis: int) -> Result:
        return OPS["cumsum"](self, axis=axis)

    def reshape(self, *shape: Any) -> Result:
        return OPS["reshape"](self, shape=_one_or_many(shape))

    def transpose(self, *axes: Any) -> Result:
        """The axes in another order; with no argument, in reverse."""
        return OPS["transpose"](self, axes=_one_or_many(axes) or None)

    @property
    def T(self) -> Result:  # noqa: N802  (NumPy's name)
        """The axes in reverse."""
        return OPS["transpose"](self)

    def swapaxes(self, axis1: int, axis2: int) -> Result:
        return OPS["swapaxes"](self, axis1=axis1, axis2=axis2)

    def squeeze(self, axis: Axis = None) -> Result:
        return OPS["squeeze"](self, axis=axis)

    def repeat(self, repeats: int, axis: int) -> Result:
        return OPS["repeat"](self, repeats=repeats, axis=axis)

    def take(self, indices: Any, axis: int = 0) -> Result:
        return OPS["take"](self, indices, axis=axis)

    def copy(self) -> Result:
        return OPS["copy"](self)

    def astype(self, dtype: Any) -> Result:
        return OPS["astype"](self, dtype=dtype)

    def exp(self) -> Result:
        return OPS["exp"](self)

    def log(self) -> Result:
        return OPS["log"](self)

    def sqrt(self) -> Result:
        return OPS["sqrt"](self)

    def tanh(self) -> Result:
        return OPS["tanh"](self)

    def clamp(self, min: float | None = None, max: float | None = None) -> Result:
        return OPS["clamp"](self, min=min, max=max)

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Result:
        """array + tensor and the like are ops; every other NumPy function would silently lose the gradient."""
        name = NUMPY_OPERATORS.get(ufunc.__name__)
        if name is None or method != "__call__" or options:
            raise _loses_the_gradient(ufunc.__name__)
        return OPS[name](*inputs)

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        raise _loses_the_gradient(function.__name__)


NUMPY_OPERATORS = {
    "add": "add", "subtract": "sub", "multiply": "mul", "divide": "div", "true_divide": "div", "power": "pow",
    "floor_divide": "floor_divide", "remainder": "remainder", "matmul": "matmul", "equal": "eq", "not_equal": "ne",
    "less": "lt", "less_equal": "le", "greater": "gt", "greater_equal": "ge",
}  # fmt: skip


def _loses_the_gradient(function: str) -> TypeError:
    ours = f"use scratchgrad.functional.{function}" if function in OPS else "use an op of scratchgrad.functional"
    return TypeError(f"numpy.{function}() on a Tensor would lose its gradient: {ours}, or pass tensor.numpy()")


def _one_or_many(numbers: tuple[Any, ...]) -> tuple[int, ...]:
    """reshape(2, 3) and reshape((2, 3)) are the same."""
    return tuple(numbers[0]) if len(numbers) == 1 and isinstance(numbers[0], list | tuple) else numbers
