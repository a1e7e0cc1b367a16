"""Ops in row tiles that stay in a core's cache, on all threads. NumPy releases the GIL while it computes.

Tiles are cut by shape alone and partial sums are added in the order of the tiles: the bits do not depend on the number
of threads.
"""

from scratchgrad.kernels.cpu import (
    allocator,
    attention,
    bf16,
    embedding,
    feed_forward,
    gelu,
    loss,
    norm,
    products,
    rotary,
    swiglu,
)

allocator.keep_freed_memory()

__all__ = [
    "allocator",
    "attention",
    "bf16",
    "embedding",
    "feed_forward",
    "gelu",
    "loss",
    "norm",
    "products",
    "rotary",
    "swiglu",
]
