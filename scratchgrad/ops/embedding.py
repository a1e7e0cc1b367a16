"""Rows of a table, looked up by number."""

from scratchgrad.autograd import Backward
from scratchgrad.backend import Array
from scratchgrad.ops.indexing import sum_rows
from scratchgrad.tensor import op


@op
def embedding(weight: Array, ids: Array) -> tuple[Array, Backward]:
    """weight[ids]. weight (rows, width); ids integers of any shape, not negative; returns (*ids.shape, width)."""
    if ids.dtype.kind not in "iu":
        raise TypeError(f"ids must be integers, and they are {ids.dtype}: use .astype(int)")
    if ids.size and (int(ids.min()) < 0 or int(ids.max()) >= len(weight)):
        raise IndexError(f"ids from {int(ids.min())} to {int(ids.max())} in a table of {len(weight)} rows")
    rows, width = weight.shape
    return weight[ids], lambda grad: (sum_rows(ids.reshape(-1), grad.reshape(-1, width), rows), None)
