"""Random numbers by counter: a draw is a function of where it happens, not of what was drawn before.

Philox4x64-10 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3") turns a key and a counter into bits.
The key is (seed, purpose), the counter (element block, site, microbatch, step). An element is counted by where it
stands in the whole array, and a site is the name of the module or the parameter that draws: a process that holds some
layers of a model, or a slice of its arrays, draws what one process would. A run that is resumed, recomputed or spread
over other ranks draws the same numbers, with no state to save. What has no name (`F.dropout`, `randn`, a layer outside
of a model) is counted in the order of the program instead.

Every thread has a state of its own, which begins at seed 0: what one draws moves no other's numbers.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from enum import IntEnum
from functools import cache
from hashlib import blake2b
from typing import Any

import numpy as np

from scratchgrad.backend import Array, cuda_empty, cuda_kernel, to_device
from scratchgrad.contexts import context
from scratchgrad.gaussian import box_muller
from scratchgrad.threads import parallel_map, tiles

BLOCK = 8  # elements: two of each of the four words that a counter gives
GAP = 1 << 13  # elements that cost less to draw than to jump over
TILE = 1 << 16  # elements whose calculation stays in a core's cache
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
    MIXTURE = 8


@dataclass
class RngState:
    """Where draws happen now, as a key says in JAX.

    site: the next one in the order of the program, for what has no name. calls: how often each site that has a name was
    drawn at since the state began, which is once for each call of a module in a forward pass.
    """

    seed: int = 0
    step: int = 0
    microbatch: int = 0
    site: int = 0
    calls: dict[int, int] = field(default_factory=dict)

    def copy(self) -> RngState:
        return replace(self, calls=self.calls.copy())


class _Thread(threading.local):
    """What a thread knows of its own draws."""

    def __init__(self) -> None:
        self.state = RngState()


_here = _Thread()


def generator(
    seed: int, purpose: Purpose, *, step: int = 0, microbatch: int = 0, site: int = 0, block: int = 0
) -> np.random.Generator:
    """NumPy's generator in front of one site's numbers, or of those from `block` on: a block has four words."""
    counter = np.array([block, site, microbatch, step], np.uint64)
    return np.random.Generator(np.random.Philox(key=np.array([seed, purpose], np.uint64), counter=counter))


def manual_seed(seed: int) -> None:
    """Start anew from `seed` in this thread: the draws that follow are the same each time.

    ValueError where the seed is not an integer from 0 to 2^64 - 1.
    """
    if not 0 <= seed < 2**64:
        raise ValueError(f"manual_seed({seed}): a seed is an integer from 0 to 2^64 - 1")
    _here.state = RngState(seed)


def get_rng_state() -> RngState:
    """A copy of this thread's state, to come back to with `fork_rng`."""
    return _here.state.copy()


@context
def fork_rng(state: RngState) -> Iterator[None]:
    """Inside, this thread draws on from a copy of `state`; afterwards from where it stood before."""
    before, _here.state = _here.state, state.copy()
    try:
        yield
    finally:
        _here.state = before


def normal(
    shape: tuple[int, ...],
    *,
    name: str | None = None,
    global_shape: tuple[int, ...] | None = None,
    offset: tuple[int, ...] | None = None,
) -> np.ndarray[Any, Any]:
    """float32 of the standard normal distribution, for initial weights; on the CPU.

    With a name they depend on the seed and the name alone; without, on where the program stands. global_shape, offset:
    as of `uniform`.
    """
    return _initial(box_muller, shape, name, global_shape, offset)


def even(
    shape: tuple[int, ...],
    *,
    name: str | None = None,
    global_shape: tuple[int, ...] | None = None,
    offset: tuple[int, ...] | None = None,
) -> np.ndarray[Any, Any]:
    """float32, multiples of 2^-24 in [0, 1), for initial weights; on the CPU. The arguments are those of `normal`."""

    def halves(words: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        bits = np.stack([words >> np.uint64(40), (words >> np.uint64(8)) & np.uint64(0xFFFFFF)], axis=1)
        return bits.reshape(-1).astype(np.float32) * np.float32(2**-24)

    return _initial(halves, shape, name, global_shape, offset)


def _initial(
    two_of_a_word: Callable[[np.ndarray[Any, Any]], np.ndarray[Any, Any]],
    shape: tuple[int, ...],
    name: str | None,
    global_shape: tuple[int, ...] | None,
    offset: tuple[int, ...] | None,
) -> np.ndarray[Any, Any]:
    """Initial weights, each half of a 64-bit word of the generator."""
    starts, run = _runs(shape, global_shape, offset)
    state = _here.state if name is None else RngState(_here.state.seed)
    site = next_site() if name is None else name_site(name)

    def draw(start: int, count: int) -> np.ndarray[Any, Any]:
        drawn = np.empty(count, np.float32)

        def draw_tile(tile: slice) -> None:
            block, skipped = divmod(start + tile.start, BLOCK)
            end = skipped + tile.stop - tile.start
            words = _generator(state, Purpose.INIT, site, block).bit_generator.random_raw(-(-end // 2))
            drawn[tile] = two_of_a_word(words)[skipped:end]

        parallel_map(draw_tile, tiles(count, TILE))
        return drawn

    return _drawn(draw, starts, run).reshape(shape)


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
            drawn = _generator(state, Purpose.DROPOUT, site, block).random(skipped + count, dtype=np.float32)
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


def next_site(name: str | None = None) -> int:
    """The site of the next draw of a module of this name; without one, the next in the order of the program."""
    state = _here.state
    if name is None:
        state.site += 1
        return state.site - 1
    site = name_site(name)
    calls = state.calls.get(site, 0)
    state.calls[site] = calls + 1
    return (site + calls) % 2**64


@cache
def name_site(name: str) -> int:
    """The 64-bit BLAKE2b hash (RFC 7693) of a name."""
    return int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), "little")


def next_generator(purpose: Purpose) -> np.random.Generator:
    """The generator of the next site of draws in the order of the program."""
    return _generator(_here.state, purpose, next_site())


def _generator(state: RngState, purpose: Purpose, site: int, block: int = 0) -> np.random.Generator:
    return generator(state.seed, purpose, step=state.step, microbatch=state.microbatch, site=site, block=block)


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
