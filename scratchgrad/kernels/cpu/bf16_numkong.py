"""bf16 products by NumKong: AMX, NEON or SME where the processor has them, and portable code where it has nothing.

It multiplies rows by rows: a @ b.T, with b packed beforehand. So what is to be transposed is copied.
"""

from __future__ import annotations

import numkong
import numpy as np
from ml_dtypes import bfloat16

from scratchgrad.backend import Array
from scratchgrad.threads import parallel_map, tiles

ROWS, COLUMNS = 16, 1024  # that are transposed at a time: what is written stays in a core's cache


def left(x: Array, *, transposed: bool = False) -> Array:
    """The left operand of a product: a bf16 matrix, or its transpose."""
    return _transposed(x) if transposed else x


def right(x: Array, *, transposed: bool = False) -> Array:
    """The right operand b of a @ b.T: a bf16 matrix (columns, depth), or (depth, columns) if it is transposed."""
    return numkong.dots_pack(_transposed(x) if transposed else x)


def multiply(a: Array, b: Array, out: Array, rows: slice) -> None:
    """out[rows] = (a @ b.T)[rows], on this thread. out is float32 and contiguous."""
    numkong.dots_packed(a, b, out=numkong.from_dlpack(out), start_row=rows.start, end_row=rows.stop)


def round_into(x: Array, out: Array) -> None:
    """Contiguous float32 x in bf16, to the nearest."""
    numkong.astype(x, "bf16", out=out)


def _transposed(x: Array) -> Array:
    bits, out = x.view(np.uint16), np.empty(x.shape[::-1], np.uint16)

    def of_columns(columns: slice) -> None:
        for rows in tiles(len(bits), ROWS):
            out[columns, rows] = bits[rows, columns].T

    parallel_map(of_columns, tiles(bits.shape[1], COLUMNS))
    return out.view(bfloat16)
