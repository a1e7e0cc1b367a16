"""The gradient of an embedding as those rows of the table that were looked up; the others have none."""

from scratchgrad.autograd import Backward, SparseGradient
from scratchgrad.backend import Array
from scratchgrad.dispatch import kernel
from scratchgrad.ops.embedding import check_ids
from scratchgrad.ops.indexing import sums_by_id


@kernel("embedding", "cpu")
def embedding(weight: Array, ids: Array) -> tuple[Array, Backward]:
    """A table that is the output layer, too, has a gradient already when this one comes: it is added in its rows."""
    check_ids(weight, ids)
    width = weight.shape[1]

    def backward(grad: Array) -> tuple[SparseGradient, None]:
        present, sums = sums_by_id(ids.reshape(-1), grad.reshape(-1, width))
        return SparseGradient(sums, present), None

    return weight[ids], backward
