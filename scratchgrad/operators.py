"""The operators of a Tensor, which are ops by name, and where ops and other functions of tensors are found."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar

Result = TypeVar("Result")  # Tensor, which this file stands below

OPS: dict[str, Callable[..., Any]] = {}  # every op by name; `scratchgrad.dispatch.op` puts it here
FUNCTIONS: dict[str, Callable[..., Any]] = {}  # what is made of ops; `scratchgrad.dispatch.function` puts it here


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

    def __and__(self, other: Any) -> Result:
        return OPS["bitwise_and"](self, other)

    def __rand__(self, other: Any) -> Result:
        return OPS["bitwise_and"](other, self)

    def __or__(self, other: Any) -> Result:
        return OPS["bitwise_or"](self, other)

    def __ror__(self, other: Any) -> Result:
        return OPS["bitwise_or"](other, self)

    def __xor__(self, other: Any) -> Result:
        return OPS["bitwise_xor"](self, other)

    def __rxor__(self, other: Any) -> Result:
        return OPS["bitwise_xor"](other, self)

    def __invert__(self) -> Result:
        return OPS["bitwise_not"](self)

    __hash__ = object.__hash__  # a tensor is itself, whatever its values

    @property
    def T(self) -> Result:  # noqa: N802  (NumPy's name)
        """The axes in reverse."""
        return OPS["transpose"](self)

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
    "bitwise_and": "bitwise_and", "bitwise_or": "bitwise_or", "bitwise_xor": "bitwise_xor", "invert": "bitwise_not",
    "less": "lt", "less_equal": "le", "greater": "gt", "greater_equal": "ge",
}  # fmt: skip


def _loses_the_gradient(function: str) -> TypeError:
    ours = f"use scratchgrad.functional.{function}" if function in OPS else "use an op of scratchgrad.functional"
    return TypeError(f"numpy.{function}() on a Tensor would lose its gradient: {ours}, or pass tensor.numpy()")
