"""Every op, one family a file: plain array mathematics with the backward beside it. Importing this registers them."""

from scratchgrad.ops import (
    activation,
    arithmetic,
    attention,
    comparison,
    convolution,
    cross_entropy,
    cumulative,
    dropout,
    elementwise,
    embedding,
    indexing,
    linalg,
    linear_cross_entropy,
    logic,
    loss,
    norm,
    order,
    positions,
    reduction,
    rotary,
    routing,
    scatter,
    shape,
    softmax,
)

__all__ = [
    "activation", "arithmetic", "attention", "comparison", "convolution", "cross_entropy", "cumulative", "dropout",
    "elementwise", "embedding", "indexing", "linalg", "linear_cross_entropy", "logic", "loss", "norm", "order",
    "positions", "reduction", "rotary", "routing", "scatter", "shape", "softmax",
]  # fmt: skip
