"""How exactly the operands of matrix products are given: in float32, or rounded to bf16 where kernels for that exist.

bf16 is the upper half of a float32: its range, and 8 bits of precision. Weights, sums and everything that is no matrix
product stay float32 (Kalamkar et al. 2019, "A study of bfloat16 for deep learning training").
"""

from __future__ import annotations

from scratchgrad.dispatch import REGISTERED, Precision, use_kernels
from scratchgrad.errors import UserError

_precision: Precision = "float32"


def precision() -> Precision:
    return _precision


def set_precision(precision: Precision) -> None:
    """Round the operands of matrix products to `precision` from now on: "float32" or "bf16".

    UserError where bf16 has no kernels here. A processor without bf16 instructions gives the same results, slowly.
    """
    global _precision
    if precision not in REGISTERED:
        raise UserError(f"precision '{precision}' is not known; it is one of {', '.join(REGISTERED)}")
    if precision == "bf16":
        if not REGISTERED["bf16"]:
            raise UserError("precision bf16 is made of kernels: do not set SCRATCHGRAD_KERNELS=off, or use float32")
        from scratchgrad.kernels.cpu import bf16

        bf16.multiplier()
    use_kernels(precision)
    _precision = precision
