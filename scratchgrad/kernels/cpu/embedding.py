"""The gradient of an embedding as those rows of the table that were looked up; the others have none."""

from scratchgrad.autograd import Backward, SparseGradient
from scratchgrad.backend import Array
from scratchgrad.dispatch import kernel
from scratchgrad.ops.embedding import check_ids, padding_row
from scratchgrad.ops.indexing import sums_by_id


@kernel("embedding", "cpu")
def embedding(weight: Array, ids: Array, *, padding_idx: int | None = None) -> tuple[Array, Backward]:
    """A table that is the output layer, too, has a gradient already when this one comes: it is added in its rows."""
    check_ids(weight, ids)
    width, padding = weight.shape[1], padding_row(len(weight), padding_idx)

    def backward(grad: Array) -> tuple[SparseGradient, None]:
        present, sums = sums_by_id(ids.reshape(-1), grad.reshape(-1, width))
        if padding is not None:
            present, sums = present[present != padding], sums[present != padding]
        return SparseGradient(sums, present), None

    return weight[ids], backward
