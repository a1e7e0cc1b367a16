"""Faster ways to compute some ops, each held against its specification in `ops/` by a test.

Importing this registers them, unless the environment says SCRATCHGRAD_KERNELS=off.
"""

import os

if os.environ.get("SCRATCHGRAD_KERNELS", "on") != "off":
    from scratchgrad.kernels import cpu

    __all__ = ["cpu"]
