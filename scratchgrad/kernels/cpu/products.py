"""Products of matrices in blocks, each one BLAS call on one thread.

BLAS has threads of its own, but cuts a product by their number, and where a cut falls beside its inner blocks the bits
change (OpenBLAS 0.3.31: 512 x 288 by 288 x 4001 on one and on two threads). Blocks here are cut by shape alone.
"""

from collections.abc import Callable, Iterable
from itertools import chain

import numpy as np

from scratchgrad.autograd import Backward
from scratchgrad.backend import Array, sum_over
from scratchgrad.batch_invariance import is_batch_invariant
from scratchgrad.dispatch import KernelResult, kernel
from scratchgrad.ops.linalg import as_rows, slices_of
from scratchgrad.packed_weights import are_fixed, packed
from scratchgrad.threads import parallel_map, threads, tiles

SHORTEST, MOST = 512, 16  # more than two blocks have at least so many rows or columns; there are at most so many
ALIGNED = 16  # blocks begin at multiples of this
UNLOCKED = 500  # numbers in a product: for fewer, NumPy does not release the GIL
LEAST = 1 << 17  # numbers read for a block: less is done before another thread has begun
FEW = 48  # rows: several texts that are written at once, not a batch that is trained on
DOTS = 4  # rows: for up to so many, dot products one by one read a weight twice as fast as BLAS does
PANEL = 64  # columns
ROWS = 4  # of a block whose bits depend on nothing else
TILE = 1 << 17  # elements

Product = tuple[Array, Array, Array]  # two matrices, and where their product goes


def product(a: Array, b: Array) -> Array:
    """a @ b for two matrices."""
    out = np.empty((a.shape[0], b.shape[1]), np.result_type(a, b))
    multiply([(a, b, out)])
    return out


def plus_product(total: Array | None, a: Array, b: Array) -> Array:
    """total + a @ b in place, block by block, so that the product never exists as a whole; a @ b if total is None."""
    if total is None:
        return product(a, b)

    def of_block(block: Product) -> None:
        left, right, out = block
        out += left @ right

    parallel_map(of_block, cut((a, b, total)))
    return total


def multiply(products: Iterable[Product]) -> None:
    """Several products at once: the blocks of all of them are shared out over the threads."""
    parallel_map(_multiply, chain.from_iterable(map(cut, products)))


def _multiply(block: Product) -> None:
    a, b, out = block
    if len(a) <= DOTS and b.strides[0] == b.itemsize:
        np.vecdot(b.T[:, None], a, out=out.T)
    elif len(a) < FEW:
        out[...] = (b.T @ a.T).T  # BLAS is half as fast where the left matrix is the small one
    else:
        np.matmul(a, b, out=out)


def cut(whole: Product) -> list[Product]:
    """Blocks of a product, along the longer side of the result: a power of two, so that threads have the same work."""
    a, b, out = whole
    length, other = max(out.shape), min(out.shape)
    work = len(b) * length * (16 + other) // 16  # 16 multiplications take as long as reading a number
    count = 1
    most = min(MOST, out.size // UNLOCKED)
    while 2 * count <= most and work >= 2 * count * LEAST and (count == 1 or length >= 2 * count * SHORTEST):
        count *= 2
    pieces = tiles(length, max(1, -(-length // (count * ALIGNED))) * ALIGNED)
    if out.shape[0] == length:
        return [(a[piece], b, out[piece]) for piece in pieces]
    return [(a, b[:, piece], out[:, piece]) for piece in pieces]


def few_rows(x: Array, weight: Array) -> Array:
    """x @ weight.T for a few rows. BLAS copies a large weight into an order that it likes, which takes longer than so
    few products; panels of a weight that is fixed have that order once and for all.
    """
    panels = packed(weight, in_panels)
    count, depth, _ = panels.shape
    out = np.empty((len(x), count * PANEL), np.result_type(x, weight))
    by_panel = out.reshape(len(x), count, PANEL).swapaxes(0, 1)
    least = -(-LEAST * 16 // ((16 + len(x)) * depth * PANEL))

    def of_panels(some: slice) -> None:
        np.matmul(x, panels[some], out=by_panel[some])

    parallel_map(of_panels, tiles(count, max(least, -(-count // MOST))))
    return np.ascontiguousarray(out[:, : len(weight)])


def in_panels(weight: Array) -> Array:
    """weight.T (depth, columns), cut into (panel, depth, 64); zeros fill up the last."""
    columns, depth = weight.shape
    panels = np.zeros((-(-columns // PANEL), depth, PANEL), weight.dtype)
    for number, panel in enumerate(panels):
        some = weight[number * PANEL : (number + 1) * PANEL]
        panel[:, : len(some)] = some.T
    return panels


def in_row_blocks(products: list[tuple[Array, Array]]) -> list[Array]:
    """For every (x, panels of a weight) the rows of x @ weight.T, and behind them what fills up the last panel.

    No row's bits depend on the others: each product that is computed has 4 rows, zeros where there are fewer, and 64
    columns, which is all that decides in which order it adds. A panel meets all rows while it is in a core's cache.
    """
    tasks: list[Product] = []
    results = []
    for x, panels in products:
        count, depth, _ = panels.shape
        rows = len(x)
        blocks = -(-rows // ROWS)
        if rows % ROWS:
            padded = np.zeros((blocks * ROWS, depth), x.dtype)
            padded[:rows] = x
            x = padded
        left = x.reshape(1, blocks, ROWS, depth)
        result = np.empty((count, blocks, ROWS, PANEL), np.result_type(x, panels))
        least = -(-LEAST * 16 // ((16 + blocks * ROWS) * max(1, depth) * PANEL))
        size = max(least, -(-count // (2 * threads())))  # how many at once changes no bits
        tasks += [(left, panels[some, None], result[some]) for some in tiles(count, size)]
        results.append(result.reshape(count, blocks * ROWS, PANEL).swapaxes(0, 1)[:rows])
    parallel_map(_block, tasks)
    return [result.reshape(len(result), -1 if result.size else 0) for result in results]


def _block(product: Product) -> None:
    a, b, out = product
    np.matmul(a, b, out=out)


def in_panels_by_group(weight: Array) -> list[Array]:
    return [in_panels(one) for one in weight]


def add_in_rows(x: Array, row: Array) -> None:
    """x += row for a matrix, by tiles."""

    def of_tile(tile: slice) -> None:
        x[tile] += row

    parallel_map(of_tile, tiles(len(x), max(1, TILE // max(1, x.shape[1]))))


def sum_of_rows(x: Array) -> Array:
    """x.sum(axis=0) for a matrix: of tiles, and then of their sums. One without rows is one tile."""
    cuts = tiles(max(1, len(x)), max(1, TILE // max(1, x.shape[1])))
    return sum_over(np.stack(parallel_map(lambda tile: sum_over(x[tile], 0), cuts)), 0)


@kernel("linear", "cpu")
def linear(x: Array, weight: Array, bias: Array | None = None) -> KernelResult:
    if x.shape[-1] != weight.shape[1]:
        return NotImplemented
    shape = x.shape
    rows = as_rows(x)
    if is_batch_invariant():
        (whole,) = in_row_blocks([(rows, packed(weight, in_panels))])
        out = np.ascontiguousarray(whole[:, : len(weight)])
    elif are_fixed() and 1 < len(rows) < FEW and weight.size > 0:
        out = few_rows(rows, weight)
    else:
        out = product(rows, weight.T)
    if bias is not None:
        add_in_rows(out, bias)

    def backward(grad: Array) -> tuple[Callable[[], Array], ...]:
        grad_rows = as_rows(grad)
        return (
            lambda: product(grad_rows, weight).reshape(shape),
            lambda: product(grad_rows.T, rows),
            lambda: sum_of_rows(grad_rows),
        )

    return out.reshape(*shape[:-1], weight.shape[0]), backward


@kernel("matmul", "cpu")
def matmul(a: Array, b: Array) -> KernelResult:
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[0]:
        return NotImplemented
    return product(a, b), lambda grad: (lambda: product(grad, b.T), lambda: product(a.T, grad))


@kernel("grouped_linear", "cpu")
def grouped_linear(x: Array, weight: Array, bias: Array | None = None, *, counts: Array) -> tuple[Array, Backward]:
    groups = slices_of(counts, x, weight)
    out = np.empty((len(x), weight.shape[1]), x.dtype)
    if is_batch_invariant():
        panels, taken = packed(weight, in_panels_by_group), [g for g, count in enumerate(counts) if count]
        wholes = in_row_blocks([(x[groups[g]], panels[g]) for g in taken])
        for g, whole in zip(taken, wholes, strict=True):
            out[groups[g]] = whole[:, : weight.shape[1]]
    else:
        multiply((x[rows], weight[g].T, out[rows]) for g, rows in enumerate(groups))
    if bias is not None:
        out += bias.repeat(counts, axis=0)

    def backward(grad: Array) -> tuple[Callable[[], Array], ...]:
        def of_x() -> Array:
            grad_x = np.empty_like(x)
            multiply((grad[rows], weight[g], grad_x[rows]) for g, rows in enumerate(groups))
            return grad_x

        def of_weight() -> Array:
            grad_weight = np.empty_like(weight)
            multiply((grad[rows].T, x[rows], grad_weight[g]) for g, rows in enumerate(groups))
            return grad_weight

        return of_x, of_weight, lambda: np.stack([sum_over(grad[rows], 0) for rows in groups])

    return out, backward
