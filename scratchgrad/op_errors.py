"""What an op says when its arguments do not fit: its name, what it was given, what is wrong, what helps, and where."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np

from scratchgrad.backend import device_of
from scratchgrad.callers import users_line

KINDS = (np.exceptions.AxisError, IndexError, ValueError, TypeError)
LONGEST_OPTION = 40  # characters


def op_error(
    name: str, names: Sequence[str], values: Sequence[Any], options: Mapping[str, Any], error: Exception
) -> Exception:
    """The error anew, of the same kind: 'add(a (2, 3) float32, b (4, 3) float32): axis 0 is 2 in a and 4 in b: ...'.

    names: of the values; those of an op that takes any number of arrays are numbered.
    """
    names = [*names, *(f"[{i}]" for i in range(len(names), len(values)))]
    held = {n: v for n, v in zip(names, values, strict=False) if hasattr(v, "dtype")}
    differ = len({device_of(v) for v in held.values()}) > 1
    given = [f"{n} {v.shape} {v.dtype}" + f" on {device_of(v)}" * differ for n, v in held.items()]
    given += [
        f"{n}={text}" for n, v in options.items() if n != "needs_input_grad" and len(text := repr(v)) <= LONGEST_OPTION
    ]
    if differ:
        problem = "its arguments are on different devices; move them with .to()"
    elif isinstance(error, np.exceptions.AxisError) and error.axis is not None:
        problem = f"axis {error.axis} is none of the {error.ndim} axes, which count from 0, or backwards from -1"
    elif "broadcast" in str(error) and (found := _disagreement(held)):
        problem = f"{found}: they must be equal, or one of them 1; reshape one, or give it an axis with expand_dims"
    else:
        problem = str(error).strip()
    kind = next((kind for kind in KINDS if isinstance(error, kind)), type(error))
    return kind(f"{name}({', '.join(given)}): {problem} [{users_line()}]")


def _disagreement(held: Mapping[str, Any]) -> str:
    """'axis 0 is 2 in a and 4 in b', for the last axis in which two shapes cannot be broadcast; empty if all can."""
    for (one, a), (other, b) in combinations(held.items(), 2):
        for back in range(1, min(a.ndim, b.ndim) + 1):
            m, n = a.shape[-back], b.shape[-back]
            if m != n and 1 not in (m, n):
                here, there = a.ndim - back, b.ndim - back
                axes = f"axis {here} is {m} in {one} and {n} in {other}"
                return axes if here == there else f"axis {here} of {one} is {m} and axis {there} of {other} is {n}"
    return ""
