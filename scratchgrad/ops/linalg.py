"""Products of matrices."""

from collections.abc import Callable

from scratchgrad.autograd import Backward
from scratchgrad.backend import Array
from scratchgrad.tensor import op


@op
def matmul(a: Array, b: Array) -> tuple[Array, Backward]:
    """Matrix product over the last two axes; leading axes broadcast.

    a (..., n, k); b (..., k, m); returns (..., n, m).
    """
    if a.ndim < 2 or b.ndim < 2:
        raise ValueError("both arguments need two axes or more")
    if a.shape[-1] != b.shape[-2]:
        raise ValueError(f"the last axis of a ({a.shape[-1]}) and the second to last of b ({b.shape[-2]}) must agree")

    def backward(grad: Array) -> tuple[Callable[[], Array], Callable[[], Array]]:
        return lambda: grad @ b.swapaxes(-1, -2), lambda: a.swapaxes(-1, -2) @ grad

    return a @ b, backward


@op
def linear(x: Array, weight: Array, bias: Array | None = None) -> tuple[Array, Backward]:
    """x @ weight.T + bias, as one product of two matrices however many axes lead.

    x (..., inputs); weight (outputs, inputs); bias (outputs,); returns (..., outputs).
    """
    if x.shape[-1] != weight.shape[1]:
        raise ValueError(f"the last axes of x ({x.shape[-1]}) and of weight ({weight.shape[1]}) must agree")
    shape = x.shape
    rows = x.reshape(-1, shape[-1])
    out = rows @ weight.T
    if bias is not None:
        out += bias

    def backward(grad: Array) -> tuple[Callable[[], Array], Callable[[], Array], Callable[[], Array]]:
        grad_rows = grad.reshape(-1, grad.shape[-1])
        return (
            lambda: (grad_rows @ weight).reshape(shape),
            lambda: grad_rows.T @ rows,
            lambda: grad_rows.sum(axis=0),
        )

    return out.reshape(*shape[:-1], weight.shape[0]), backward
