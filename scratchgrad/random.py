"""Random numbers by counter: a draw is a function of where it happens, not of what was drawn before.

Philox4x64-10 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3") turns a key and a counter into bits.
The key is (seed, purpose), the counter (element block, site, microbatch, step). So a run that is resumed, recomputed or
spread over other ranks draws the same numbers, with no state to save.

Every thread has a state of its own, which begins at seed 0: what one draws moves no other's numbers.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Any

import numpy as np

from scratchgrad.backend import Array, cuda_empty, cuda_kernel


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


def generator(seed: int, purpose: Purpose, *, step: int = 0, microbatch: int = 0, site: int = 0) -> np.random.Generator:
    """NumPy's generator at the start of one site's numbers."""
    return np.random.Generator(np.random.Philox(key=[seed, purpose], counter=[0, site, microbatch, step]))


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


def uniform(shape: tuple[int, ...], device: str) -> Array:
    """float32 in [0, 1), for dropout; the same bits on CPU and GPU."""
    if device == "cpu":
        return next_generator(Purpose.DROPOUT).random(shape, dtype=np.float32)
    out = cuda_empty(shape, np.float32)
    state = _here.state
    key_and_counter = (state.seed, Purpose.DROPOUT, state.site, state.microbatch, state.step)
    state.site += 1
    blocks = (out.size + 8 * 128 - 1) // (8 * 128)
    if blocks:
        arguments = (*(np.uint64(word) for word in key_and_counter), np.int64(out.size), out)
        cuda_kernel("philox", "uniform")((blocks,), (128,), arguments)
    return out


def next_generator(purpose: Purpose) -> np.random.Generator:
    """The generator of the next site of draws."""
    state = _here.state
    drawn = generator(state.seed, purpose, step=state.step, microbatch=state.microbatch, site=state.site)
    state.site += 1
    return drawn
