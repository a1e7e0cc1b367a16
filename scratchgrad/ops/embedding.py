"""Rows of a table, looked up by number."""

from scratchgrad.autograd import Backward
from scratchgrad.backend import Array
from scratchgrad.dispatch import op
from scratchgrad.ops.indexing import sum_rows


@op(takes="elements")
def embedding(weight: Array, ids: Array) -> tuple[Array, Backward]:
    """weight[ids]. weight (rows, width); ids integers of any shape, not negative; returns (*ids.shape, width)."""
    check_ids(weight, ids)
    rows, width = weight.shape
    return weight[ids], lambda grad: (sum_rows(ids.reshape(-1), grad.reshape(-1, width), rows), None)


def check_ids(weight: Array, ids: Array) -> None:
    """TypeError where ids are no integers, IndexError where the table has no such row."""
    if ids.dtype.kind not in "iu":
        raise TypeError(f"ids must be integers, and they are {ids.dtype}: use .astype(int)")
    if ids.size and (int(ids.min()) < 0 or int(ids.max()) >= len(weight)):
        raise IndexError(f"ids from {int(ids.min())} to {int(ids.max())} in a table of {len(weight)} rows")
