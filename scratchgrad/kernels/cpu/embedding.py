"""The gradient of an embedding as those rows of the table that were looked up; the others have none."""

from scratchgrad.autograd import Backward, SparseGradient
from scratchgrad.backend import Array
from scratchgrad.ops.embedding import embedding as specification
from scratchgrad.ops.indexing import sums_by_id
from scratchgrad.tensor import kernel


@kernel("embedding", "cpu")
def embedding(weight: Array, ids: Array) -> tuple[Array, Backward]:
    """A table that is the output layer, too, has a gradient already when this one comes: it is added in its rows."""
    out, _ = specification.__wrapped__(weight, ids)  # type: ignore[attr-defined]
    width = weight.shape[1]

    def backward(grad: Array) -> tuple[SparseGradient, None]:
        present, sums = sums_by_id(ids.reshape(-1), grad.reshape(-1, width))
        return SparseGradient(sums, present), None

    return out, backward
