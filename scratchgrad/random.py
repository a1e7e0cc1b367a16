"""Random numbers by counter: a draw is a function of where it happens, not of what was drawn before.

Philox4x64-10 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3") turns a key and a counter into bits.
The key is (seed, purpose), the counter (element block, site, microbatch, step). So a run that is resumed, recomputed or
spread over other ranks draws the same numbers, with no state to save.

Every thread has a state of its own, which begins at seed 0: what one draws moves no other's numbers.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Any

import numpy as np

from scratchgrad.backend import Array, cuda_empty, cuda_kernel, to_device

BLOCK = 8  # elements: two of each of the four words that a counter gives
GAP = 1 << 13  # elements that cost less to draw than to jump over
CHUNK = 1 << 18  # elements that are drawn at once where gaps are drawn, too


class Purpose(IntEnum):
    """The second word of the key: draws of different purposes never meet."""

    INIT = 0
    DROPOUT = 1
    SHUFFLE = 2
    SAMPLE = 3
    USER = 4
    MASK = 5
    SPANS = 6
    TASK = 7


@dataclass
class RngState:
    """Where draws happen now. `site` numbers them in the order of the program, and rises by one with each."""

    seed: int = 0
    step: int = 0
    microbatch: int = 0
    site: int = 0


class _Thread(threading.local):
    """What a thread knows of its own draws."""

    def __init__(self) -> None:
        self.state = RngState()
        self.shapes_only = False


_here = _Thread()


def generator(
    seed: int, purpose: Purpose, *, step: int = 0, microbatch: int = 0, site: int = 0, block: int = 0
) -> np.random.Generator:
    """NumPy's generator in front of one site's numbers, or of those from `block` on: a block has four words."""
    return np.random.Generator(np.random.Philox(key=[seed, purpose], counter=[block, site, microbatch, step]))


def manual_seed(seed: int) -> None:
    """Start anew from `seed` in this thread: the draws that follow are the same each time."""
    _here.state = RngState(seed)


def get_rng_state() -> RngState:
    """A copy of this thread's state, to come back to with `fork_rng`."""
    return replace(_here.state)


@contextmanager
def fork_rng(state: RngState) -> Iterator[None]:
    """Inside, this thread draws on from a copy of `state`; afterwards from where it stood before."""
    before, _here.state = _here.state, replace(state)
    try:
        yield
    finally:
        _here.state = before


@contextmanager
def shapes_only() -> Iterator[None]:
    """Inside, `normal`, `filled` and `stacked` give shapes without memory: read-only, the same zero everywhere.

    For a model whose weights come from a file: its shapes are known before anything is allocated or drawn.
    """
    before, _here.shapes_only = _here.shapes_only, True
    try:
        yield
    finally:
        _here.shapes_only = before


def filled(shape: tuple[int, ...], value: float) -> np.ndarray[Any, Any]:
    """float32 of one value, for initial weights."""
    return np.broadcast_to(np.float32(0), shape) if _here.shapes_only else np.full(shape, value, np.float32)


def normal(shape: tuple[int, ...], std: float) -> np.ndarray[Any, Any]:
    """float32 of the normal distribution with mean 0, for initial weights; drawn on the CPU whatever the device."""
    if _here.shapes_only:
        return np.broadcast_to(np.float32(0), shape)
    draws = next_generator(Purpose.INIT).standard_normal(shape, dtype=np.float32)
    draws *= np.float32(std)
    return draws


def stacked(parts: Sequence[np.ndarray[Any, Any]]) -> np.ndarray[Any, Any]:
    """Initial weights of several parts of one shape, along a new first axis."""
    return filled((len(parts), *parts[0].shape), 0) if _here.shapes_only else np.stack(parts)


def rescale(weights: np.ndarray[Any, Any], factor: float) -> None:
    """Multiply initial weights, or some rows of them, in place."""
    if not _here.shapes_only:
        weights *= factor


def uniform(
    shape: tuple[int, ...],
    device: str,
    *,
    site: int | None = None,
    global_shape: tuple[int, ...] | None = None,
    offset: tuple[int, ...] | None = None,
) -> Array:
    """float32 in [0, 1), for dropout; the same bits on CPU and GPU.

    site: the word of the counter that says which draw it is; the next one in the order of the program if None.
    global_shape, offset: the numbers are those which an array of `global_shape` has from `offset` on, in each axis.
    ValueError where they do not fit there.
    """
    starts, run = _runs(shape, global_shape, offset)
    site, state = next_site() if site is None else site, _here.state
    if device == "cpu":

        def draw(start: int, count: int) -> np.ndarray[Any, Any]:
            block, skipped = divmod(start, BLOCK)
            words = {"step": state.step, "microbatch": state.microbatch, "site": site, "block": block}
            drawn = generator(state.seed, Purpose.DROPOUT, **words).random(skipped + count, dtype=np.float32)
            return drawn[skipped:]

        return _drawn(draw, starts, run).reshape(shape)
    out = cuda_empty(shape, np.float32)
    key_and_counter = (state.seed, Purpose.DROPOUT, site, state.microbatch, state.step)
    blocks_of_run = (run + 2 * (BLOCK - 1)) // BLOCK  # a run may begin and end inside a block
    if out.size:
        arguments = (
            *(np.uint64(word) for word in key_and_counter),
            to_device(starts, "cuda"), np.int64(len(starts)), np.int64(run), np.int64(blocks_of_run), out,
        )  # fmt: skip
        cuda_kernel("philox", "uniform")((-(-len(starts) * blocks_of_run // 128),), (128,), arguments)
    return out


def next_site() -> int:
    """The number of the next draw in the order of the program."""
    state = _here.state
    state.site += 1
    return state.site - 1


def next_generator(purpose: Purpose) -> np.random.Generator:
    """The generator of the next site of draws."""
    site, state = next_site(), _here.state
    return generator(state.seed, purpose, step=state.step, microbatch=state.microbatch, site=site)


def _runs(
    shape: tuple[int, ...], global_shape: tuple[int, ...] | None, offset: tuple[int, ...] | None
) -> tuple[np.ndarray[Any, Any], int]:
    """Where the part's runs of neighbouring elements begin in the whole array, int64, and how long each of them is."""
    whole = shape if global_shape is None else global_shape
    first = (0,) * len(whole) if offset is None else offset
    fits = len(shape) == len(whole) == len(first) and all(
        0 <= at <= at + size <= total for at, size, total in zip(first, shape, whole, strict=True)
    )
    if not fits:
        raise ValueError(f"a part of shape {shape} at offset {first} does not lie in an array of shape {whole}")
    cut = max((axis for axis, size in enumerate(shape) if size != whole[axis]), default=0)
    starts = np.zeros(1, np.int64)
    for axis, size in enumerate(shape[: cut + 1]):
        places = first[axis] + np.arange(size if axis < cut else 1)
        starts = (starts[:, None] * whole[axis] + places).reshape(-1)
    return starts * math.prod(whole[cut + 1 :]), math.prod(shape[cut:])


def _drawn(
    draw: Callable[[int, int], np.ndarray[Any, Any]], starts: np.ndarray[Any, Any], run: int
) -> np.ndarray[Any, Any]:
    """(runs, run): draw(start, count) of every run. Runs that stand close together are drawn with what lies between."""
    if len(starts) == 1:
        return draw(int(starts[0]), run)
    out, begin = np.empty((len(starts), run), np.float32), 0
    while begin < len(starts):
        end = begin + 1
        while end < len(starts) and starts[end] - starts[end - 1] - run < GAP and starts[end] - starts[begin] < CHUNK:
            end += 1
        places = starts[begin:end] - starts[begin]
        out[begin:end] = draw(int(starts[begin]), int(places[-1]) + run)[places[:, None] + np.arange(run)]
        begin = end
    return out
