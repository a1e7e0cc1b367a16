"""Products of matrices in blocks, each one BLAS call on one thread.

BLAS has threads of its own, but cuts a product by their number, and where a cut falls beside its inner blocks the bits
change (OpenBLAS 0.3.31: 512 x 288 by 288 x 4001 on one and on two threads). Blocks here are cut by shape alone.
"""

from collections.abc import Callable

import numpy as np

from scratchgrad.autograd import Backward
from scratchgrad.backend import Array
from scratchgrad.ops.linalg import linear as specification_of_linear
from scratchgrad.ops.linalg import matmul as specification_of_matmul
from scratchgrad.tensor import kernel
from scratchgrad.threads import spread, tiles

SHORTEST, MOST = 256, 16  # a block has at least so many rows or columns; there are at most so many blocks


def product(a: Array, b: Array) -> Array:
    """a @ b for two matrices, cut along the longer side of the result."""
    rows, columns = a.shape[0], b.shape[1]
    out = np.empty((rows, columns), np.result_type(a, b))
    if rows >= columns:
        spread(lambda cut: np.matmul(a[cut], b, out=out[cut]), _blocks(rows))
    else:
        spread(lambda cut: np.matmul(a, b[:, cut], out=out[:, cut]), _blocks(columns))
    return out


def _blocks(length: int) -> list[slice]:
    return tiles(length, max(SHORTEST, -(-length // (MOST * 64)) * 64))


@kernel("linear", "cpu")
def linear(x: Array, weight: Array, bias: Array | None = None) -> tuple[Array, Backward]:
    if x.shape[-1] != weight.shape[1]:
        return specification_of_linear.__wrapped__(x, weight, bias)  # type: ignore[attr-defined, no-any-return]
    shape = x.shape
    rows = x.reshape(-1, shape[-1])
    out = product(rows, weight.T)
    if bias is not None:
        out += bias

    def backward(grad: Array) -> tuple[Callable[[], Array], Callable[[], Array], Array]:
        grad_rows = grad.reshape(-1, grad.shape[-1])
        return lambda: product(grad_rows, weight).reshape(shape), lambda: product(grad_rows.T, rows), grad

    return out.reshape(*shape[:-1], weight.shape[0]), backward


@kernel("matmul", "cpu")
def matmul(a: Array, b: Array) -> tuple[Array, Backward]:
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[0]:
        return specification_of_matmul.__wrapped__(a, b)  # type: ignore[attr-defined, no-any-return]
    return product(a, b), lambda grad: (lambda: product(grad, b.T), lambda: product(a.T, grad))
