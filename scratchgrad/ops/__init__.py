"""Every op, one family a file: plain array mathematics with the backward beside it. Importing this registers them."""

from scratchgrad.ops import (
    activation,
    arithmetic,
    attention,
    comparison,
    cross_entropy,
    dropout,
    elementwise,
    embedding,
    indexing,
    linalg,
    linear_cross_entropy,
    loss,
    norm,
    positions,
    reduction,
    rotary,
    routing,
    shape,
    softmax,
)

__all__ = [
    "activation", "arithmetic", "attention", "comparison", "cross_entropy", "dropout", "elementwise", "embedding",
    "indexing", "linalg", "linear_cross_entropy", "loss", "norm", "positions", "reduction", "rotary", "routing",
    "shape", "softmax",
]  # fmt: skip
