"""Rows of a table, looked up by number."""

from scratchgrad.autograd import Backward
from scratchgrad.backend import Array
from scratchgrad.dispatch import op
from scratchgrad.ops.indexing import sum_rows


@op(takes="elements")
def embedding(weight: Array, ids: Array, *, padding_idx: int | None = None) -> tuple[Array, Backward]:
    """weight[ids]. weight (rows, width); ids integers of any shape, not negative; returns (*ids.shape, width).

    padding_idx: the row that gets no gradient, counted from the end if it is negative.
    """
    check_ids(weight, ids)
    rows, width = weight.shape
    padding = padding_row(rows, padding_idx)

    def backward(grad: Array) -> tuple[Array, None]:
        of_weight = sum_rows(ids.reshape(-1), grad.reshape(-1, width), rows)
        if padding is not None:
            of_weight[padding] = 0
        return of_weight, None

    return weight[ids], backward


def padding_row(rows: int, padding_idx: int | None) -> int | None:
    """The number of the row that `padding_idx` names; ValueError where there is none."""
    if padding_idx is None:
        return None
    if not -rows <= padding_idx < rows:
        raise ValueError(f"padding_idx {padding_idx} is none of the {rows} rows")
    return padding_idx % rows


def check_ids(weight: Array, ids: Array) -> None:
    """TypeError where ids are no integers, IndexError where the table has no such row."""
    if ids.dtype.kind not in "iu":
        if weight.dtype.kind in "iu":
            raise TypeError("weight holds integers and ids floats: the order is (weight, ids)")
        raise TypeError(f"ids must be integers, and they are {ids.dtype}: use .astype(int)")
    if ids.size and (int(ids.min()) < 0 or int(ids.max()) >= len(weight)):
        raise IndexError(f"ids from {int(ids.min())} to {int(ids.max())} in a table of {len(weight)} rows")
