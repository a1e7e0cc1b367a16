"""What an op says when its arguments do not fit: its name, what it was given, what is wrong, what helps, and where."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from numbers import Number
from typing import Any

import numpy as np

from scratchgrad.backend import device_of
from scratchgrad.callers import users_line

KINDS = (np.exceptions.AxisError, IndexError, ValueError, TypeError)
LONGEST_OPTION = 40  # characters
EXAMPLE = "return a * b, lambda grad: (grad * b, grad * a)"


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


def not_an_array(name: str, names: Sequence[str], values: Sequence[Any], error: AttributeError) -> Exception:
    """For an op that looked for the shape of a list, say: which of its arguments is no array; else the error itself."""
    for argument, value in zip(names, values, strict=False):
        if value is not None and not hasattr(value, "dtype") and not isinstance(value, Number):
            return TypeError(
                f"{name}(): '{argument}' is a {type(value).__name__}; {', '.join(names)} are tensors, arrays or "
                f"numbers, in this order [{users_line()}]"
            )
    return error


def not_an_op(name: str, result: Any) -> TypeError:
    """For an op whose forward did not return (value, backward)."""
    if isinstance(result, tuple):
        returned = f"a tuple of {len(result)}"
        if len(result) == 2:
            returned = "None for its value" if result[0] is None else f"a {type(result[0]).__name__} for its value"
            if result[1] is not None and not callable(result[1]):
                returned = f"a {type(result[1]).__name__} for its backward"
    else:
        returned = "None" if result is None else f"a {type(result).__name__} alone"
    return TypeError(f"op '{name}' returned {returned}; it returns an array and a function: {EXAMPLE}")


def not_gradients(name: str, returned: Any, count: int) -> TypeError:
    """For a backward that did not return one gradient for each of the op's `count` arrays."""
    if isinstance(returned, tuple | list):
        what = f"{len(returned)} gradient{'s' * (len(returned) != 1)} for {count} array{'s' * (count != 1)}"
    else:
        what = "None" if returned is None else f"a {type(returned).__name__}"
    return TypeError(
        f"the backward of '{name}' returned {what}; it returns a tuple, one gradient for each array of the op, "
        f"None where there is none: {EXAMPLE}"
    )


def not_a_gradient(name: str, piece: Any, position: int) -> TypeError:
    """For a backward whose tuple has something else than an array in it."""
    return TypeError(
        f"the backward of '{name}' returned a {type(piece).__name__} for argument {position}; a gradient is an array, "
        f"as the op's arguments are: {EXAMPLE}"
    )


def in_place(name: str) -> ValueError:
    """For a backward that writes into what others read, too."""
    return ValueError(
        f"the backward of '{name}' writes into its gradient, or into an array that the op was given or returned; "
        "make a new one: return (grad * 2,), not grad *= 2"
    )


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
