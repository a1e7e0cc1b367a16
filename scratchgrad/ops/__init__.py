"""Every op, one family a file: plain array mathematics with the backward beside it. Importing this registers them."""

from scratchgrad.ops import (
    activation,
    attention,
    dropout,
    elementwise,
    embedding,
    linalg,
    loss,
    norm,
    reduction,
    rotary,
    shape,
)

__all__ = [
    "activation", "attention", "dropout", "elementwise", "embedding", "linalg", "loss", "norm", "reduction", "rotary",
    "shape",
]  # fmt: skip
