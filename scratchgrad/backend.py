"""The one file that knows which array library is in use, and the only one that imports cupy."""

from __future__ import annotations

import math
from functools import cache
from importlib.resources import files
from types import ModuleType
from typing import Any, Literal

import ml_dtypes
import numpy as np
from numpy.lib.array_utils import normalize_axis_tuple

from scratchgrad.errors import UserError

try:
    import cupy
except ImportError:  # a machine without a GPU is a normal machine
    cupy = None

HALVES: tuple[np.dtype[Any], ...] = (np.dtype(np.float16), np.dtype(ml_dtypes.bfloat16))
LONG, BLOCK = 4096, 256  # numbers that are added up one after another: at most so many, and otherwise in such blocks
SHORT = 8  # rows of a segment that are not worth a loop of their own
_erf = np.vectorize(math.erf, otypes=[np.float64])  # NumPy has none

Array = Any  # numpy.ndarray or cupy.ndarray; the two share no base class
Device = Literal["cpu", "cuda"]
DEVICES: tuple[Device, ...] = ("cpu", "cuda")


def array_module(array: Array) -> ModuleType:
    """numpy or cupy, whichever the array lives in."""
    return np if cupy is None or type(array) is np.ndarray else cupy.get_array_module(array)


def device_of(array: Array) -> Device:
    return "cpu" if array_module(array) is np else "cuda"


@cache
def cuda_is_available() -> bool:
    return cupy is not None and bool(cupy.cuda.is_available())


def use_device(device: str, local_rank: int = 0) -> None:
    """Make `device` this process's own: ranks of one machine take its GPUs in turn.

    Raises UserError when there is no such device here.
    """
    if device not in DEVICES:
        raise UserError(f"device '{device}' is not known; it is one of {', '.join(DEVICES)}")
    if device == "cuda":
        if cupy is None:
            raise UserError("device 'cuda' needs CuPy: install scratchgrad[cuda12] or [cuda13], or use 'cpu'")
        if not cuda_is_available():
            raise UserError("device 'cuda' was asked for, but CuPy finds no GPU with a driver here; use 'cpu'")
        cupy.cuda.Device(local_rank % cupy.cuda.runtime.getDeviceCount()).use()


def to_device(array: Array, device: str) -> Array:
    """The array on `device`: itself when it is there already."""
    if device == device_of(array):
        return array
    if device == "cpu":
        return cupy.asnumpy(array)
    use_device(device)
    return cupy.asarray(array)


def to_numpy(array: Array) -> np.ndarray[Any, Any]:
    result: np.ndarray[Any, Any] = to_device(array, "cpu")
    return result


def erf(array: Array) -> Array:
    """The error function, element by element, in the array's dtype."""
    if array_module(array) is np:
        return np.asarray(_erf(array), array.dtype)
    from cupyx.scipy.special import erf as erf_on_gpu

    return erf_on_gpu(array)


def from_dlpack(array: Any) -> Array:
    """The memory of another library's array, as numpy's or cupy's: where that array lives decides."""
    cpu = 1  # kDLCPU of dlpack.h
    if array.__dlpack_device__()[0] == cpu:
        return np.from_dlpack(array)
    if cupy is None:
        raise UserError("from_dlpack() was given an array on a GPU; that needs CuPy: install scratchgrad[cuda12]")
    return cupy.from_dlpack(array)


def sum_over(array: Array, axis: int | tuple[int, ...] | None = None, keepdims: bool = False) -> Array:
    """array.sum(), also exact where NumPy would add a million rows one by one: it adds in pairs along the last axis
    only, and loses half of the digits of float32 elsewhere. Half precisions are added up, and returned, as float32.
    """
    xp = array_module(array)
    array = array.astype(np.float32) if array.dtype in HALVES else array
    axes = normalize_axis_tuple(range(array.ndim) if axis is None else axis, array.ndim)
    count = math.prod(array.shape[i] for i in axes)
    in_pairs = array.flags.c_contiguous and axes == tuple(range(array.ndim - len(axes), array.ndim))
    if xp is not np or count <= LONG or in_pairs or array.dtype.kind not in "fc":
        return array.sum(axis=axes, keepdims=keepdims)
    rest = [n for i, n in enumerate(array.shape) if i not in axes]
    rows = np.moveaxis(array, sorted(axes), range(len(axes))).reshape(count, -1)
    while len(rows) > BLOCK:
        whole = len(rows) // BLOCK * BLOCK
        blocks = rows[:whole].reshape(-1, BLOCK, rows.shape[1]).sum(axis=1)
        rows = blocks if whole == len(rows) else np.concatenate([blocks, rows[whole:].sum(axis=0)[None]])
    total = rows.sum(axis=0).reshape(rest)
    return np.expand_dims(total, axes) if keepdims else total


def segment_sum(rows: Array, starts: Array) -> Array:
    """Sums of rows[starts[i]:starts[i + 1]], each in an order that its length decides, so that the bits never change.

    rows (n, width); starts (segments,) integers, rising, the first 0. Returns (segments, width).
    """
    xp, width = array_module(rows), rows.shape[1]
    ends = xp.append(starts[1:], len(rows))
    if xp is np:
        return _segment_sum(rows, starts, ends)
    out = cupy.empty((len(starts), width), rows.dtype)
    add_up = cuda_kernel("segment_sum", f"segment_sum_{rows.dtype.name}")
    arguments = (cupy.ascontiguousarray(rows), starts.astype(np.int64), ends.astype(np.int64), np.int64(width), out)
    add_up((-(-out.size // 256),), (256,), (*arguments, np.int64(out.size)))
    return out


def _segment_sum(rows: Array, starts: Array, ends: Array) -> Array:
    """Short segments all at once, place by place: reduceat takes ten times as long for them."""
    lengths = ends - starts
    out = rows[starts]
    for place in range(1, min(SHORT, int(lengths.max()))):
        reaching = np.flatnonzero((lengths > place) & (lengths <= SHORT))
        out[reaching] += rows[starts[reaching] + place]
    long = np.flatnonzero(lengths > SHORT)
    if long.size:
        edges = np.stack([starts[long], ends[long]], axis=1).reshape(-1)
        edges = edges[:-1] if edges[-1] == len(rows) else edges  # an edge is the number of a row
        out[long] = np.add.reduceat(rows, edges, axis=0)[::2]
    return out


@cache
def cuda_kernel(file: str, function: str) -> Any:
    """A function of `cuda/<file>.cu`, compiled by NVRTC when it is first asked for."""
    source = files("scratchgrad").joinpath("cuda", f"{file}.cu").read_text()
    return cupy.RawModule(code=source, options=("-std=c++17",)).get_function(function)


def cuda_empty(shape: tuple[int, ...], dtype: Any) -> Array:
    """A fresh array on the GPU with whatever its memory held."""
    return cupy.empty(shape, dtype)
