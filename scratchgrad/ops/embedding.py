"""Rows of a table, looked up by number."""

from scratchgrad.autograd import Backward
from scratchgrad.backend import Array, array_module, segment_sum
from scratchgrad.tensor import op


@op
def embedding(weight: Array, ids: Array) -> tuple[Array, Backward]:
    """weight[ids]. weight (rows, width); ids integers of any shape; returns (*ids.shape, width).

    The gradient of a row that was looked up several times is added up in the order of its uses: rows are sorted by id
    (stably) and summed in segments, which unlike scattered addition gives the same bits on every run and device.
    """
    if ids.size and (int(ids.min()) < 0 or int(ids.max()) >= len(weight)):
        raise IndexError(f"embedding: ids from {int(ids.min())} to {int(ids.max())} in a table of {len(weight)} rows")
    shape, dtype, xp = weight.shape, weight.dtype, array_module(weight)

    def backward(grad: Array) -> tuple[Array, None]:
        out = xp.zeros(shape, dtype)
        if ids.size:
            order = xp.argsort(ids.reshape(-1), kind="stable")
            in_order = ids.reshape(-1)[order]
            starts = xp.flatnonzero(xp.append(xp.ones(1, bool), in_order[1:] != in_order[:-1]))
            out[in_order[starts]] = segment_sum(grad.reshape(-1, shape[1])[order], starts)
        return out, None

    return weight[ids], backward
