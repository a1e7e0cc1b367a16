"""Many texts at once: encoded by several processes, and made one array of equally long rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from scratchgrad.errors import UserError
from scratchgrad.tools.processes import map_in_processes

Encode = Callable[[str], list[int]]


class Batch(NamedTuple):
    """ids: uint32 (text, place). mask: bool (text, place), true where a token of the text stands."""

    ids: np.ndarray[Any, np.dtype[np.uint32]]
    mask: np.ndarray[Any, np.dtype[np.bool_]]


def encode_in_processes(encode: Encode, texts: Sequence[str], workers: int) -> list[list[int]]:
    """`encode` of each text."""

    def encoded(text: str) -> bytes:
        return np.array(encode(text), np.uint32).tobytes()

    chunk = max(1, len(texts) // (workers * 8))
    return [np.frombuffer(ids, np.uint32).tolist() for ids in map_in_processes(encoded, texts, workers, chunk)]


def pad(rows: Sequence[Sequence[int]], padding: int, *, length: int | None = None, side: str = "right") -> Batch:
    """Rows of ids as one array, as wide as the longest or `length`, filled up with `padding` on `side`.

    UserError where a row is longer than `length` (see `truncate`).
    """
    if side not in ("left", "right"):
        raise UserError(f"padding stands 'left' or 'right' of the text, not '{side}'")
    longest = max(map(len, rows), default=0)
    width = longest if length is None else length
    if longest > width:
        raise UserError(f"a text has {longest} tokens, and rows of {width} were asked for: truncate it first")
    ids = np.full((len(rows), width), padding, np.uint32)
    mask = np.zeros((len(rows), width), np.bool_)
    for i, row in enumerate(rows):
        place = slice(0, len(row)) if side == "right" else slice(width - len(row), width)
        ids[i, place], mask[i, place] = row, True
    return Batch(ids, mask)


def truncate(ids: Sequence[int], length: int, *, side: str = "right") -> list[int]:
    """At most `length` ids: the first ones, or where the `left` side is cut off, the last ones."""
    if length < 0 or side not in ("left", "right"):
        raise UserError(f"length {length} must not be negative, and the side '{side}' must be 'left' or 'right'")
    return list(ids[:length] if side == "right" else ids[max(0, len(ids) - length) :])
