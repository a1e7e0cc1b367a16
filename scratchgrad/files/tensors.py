"""Arrays in a safetensors file, which are mapped into memory when they are read, and never copied whole when written.

The format (https://huggingface.co/docs/safetensors): the header's length as 8 bytes, the header, the arrays' bytes. The
header is JSON: for each name the dtype, the shape, and where its bytes begin and end. The package `safetensors` is a
peer in our tests. It is not used here because it copies all arrays to write them, writes a transposed one wrongly, lets
the second of two equal names win, and knows bfloat16 for NumPy in its newest versions only.
"""

from __future__ import annotations

import json
import math
import mmap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

from scratchgrad.errors import UserError, quoted
from scratchgrad.files.faults import read_fault
from scratchgrad.files.json_files import parse_json

Array = np.ndarray[Any, Any]

DTYPES: dict[str, np.dtype[Any]] = {
    name: np.dtype(dtype)
    for name, dtype in {
        "F64": np.float64, "F32": np.float32, "F16": np.float16, "BF16": ml_dtypes.bfloat16,
        "F8_E4M3": ml_dtypes.float8_e4m3fn, "F8_E5M2": ml_dtypes.float8_e5m2,
        "I64": np.int64, "I32": np.int32, "I16": np.int16, "I8": np.int8,
        "U64": np.uint64, "U32": np.uint32, "U16": np.uint16, "U8": np.uint8, "BOOL": np.bool_,
    }.items()
}  # fmt: skip
NAMES = {dtype: name for name, dtype in DTYPES.items()}

LARGEST_HEADER = 1 << 24  # bytes; a model of ten thousand tensors has one of a tenth of that
MOST_AXES = 32
PIECE = 1 << 22  # bytes that are cast and written at once


def write_tensors(
    path: Path,
    tensors: Mapping[str, Array],
    metadata: Mapping[str, str] | None = None,
    *,
    dtype: np.dtype[Any] | None = None,
) -> None:
    """Write a safetensors file; all arrays become `dtype` on their way, if one is given.

    UserError for a number that `dtype` cannot hold; OSError where there is no room or no permission.
    """
    header: dict[str, Any] = {} if metadata is None else {"__metadata__": dict(metadata)}
    end = 0
    # The widest first, so that each array begins where its dtype may begin.
    names = sorted(tensors, key=lambda name: (-(dtype or tensors[name].dtype).itemsize, name))
    for name in names:
        array, kind = tensors[name], dtype or tensors[name].dtype
        begin, end = end, end + array.size * kind.itemsize
        header[name] = {"dtype": NAMES[kind], "shape": list(array.shape), "data_offsets": [begin, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    try:
        with path.open("wb") as file:
            file.write(len(text).to_bytes(8, "little") + text)
            for name in names:
                for piece in _pieces(name, tensors[name], dtype or tensors[name].dtype):
                    file.write(piece)
    except OSError as error:
        error.filename = str(path)  # the error of a full disk does not name it
        raise


def _pieces(name: str, array: Array, dtype: np.dtype[Any]) -> Iterator[bytes]:
    rows = array.reshape(1) if array.ndim == 0 else array
    step = max(1, PIECE * len(rows) // max(1, rows.size * dtype.itemsize))
    for start in range(0, len(rows), step):
        piece = rows[start : start + step]
        with np.errstate(over="ignore"):
            cast = piece.astype(dtype, copy=False)
        if dtype != array.dtype and not np.isfinite(cast).all() and np.isfinite(piece).all():
            raise UserError(
                f"'{name}' holds {np.abs(piece).max():.3g}, and the largest {dtype.name} is "
                f"{ml_dtypes.finfo(dtype).max:.3g}; bfloat16 reaches as far as float32"
            )
        yield cast.tobytes()


def map_tensors(path: Path) -> dict[str, Array]:
    """All arrays of a safetensors file, read-only, as views of the file mapped into memory: pages come when touched.

    The header is checked before anything is made of what it says. UserError where the file is not there, or lengths
    overflow, overlap, leave gaps or run past the end, a name comes twice, or a dtype is unknown.
    """
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            header, start = _read_header(path, file, size)
            layout = _checked(path, header, size - start)
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except OSError as error:
        raise read_fault(path, error) from None
    return {
        name: np.frombuffer(mapped, dtype, math.prod(shape), start + begin if math.prod(shape) else 0).reshape(shape)
        for name, (dtype, shape, begin) in layout.items()
    }


def read_metadata(path: Path) -> dict[str, str]:
    """What a safetensors file says of itself: texts by name. UserError where the file is not there, or damaged."""
    try:
        with path.open("rb") as file:
            header, _ = _read_header(path, file, file.seek(0, 2), with_metadata=True)
    except OSError as error:
        raise UserError(f"'{path}' cannot be read: {error.strerror}") from None
    told = header.get("__metadata__", {})
    return {name: text for name, text in told.items() if isinstance(text, str)} if isinstance(told, dict) else {}


def _read_header(path: Path, file: Any, size: int, *, with_metadata: bool = False) -> tuple[dict[str, Any], int]:
    """The header, not yet believed, and where the arrays begin."""
    file.seek(0)
    length = int.from_bytes(file.read(8), "little")
    if size < 8 or length > size - 8:
        raise _damaged(path, f"its header would have {length:,} bytes, and the file has {size:,}")
    if length > LARGEST_HEADER:
        raise _damaged(path, f"its header has {length:,} bytes, more than {LARGEST_HEADER:,}")
    try:
        header = parse_json(file.read(length))
    except (ValueError, RecursionError) as error:
        raise _damaged(path, f"its header is not JSON: {error}") from None
    if not isinstance(header, dict):
        raise _damaged(path, "its header is not a JSON object")
    if not with_metadata:
        header.pop("__metadata__", None)
    return header, 8 + length


def _checked(path: Path, header: dict[str, Any], size: int) -> dict[str, tuple[np.dtype[Any], tuple[int, ...], int]]:
    """(dtype, shape, beginning) of each array: one behind the other, from the first byte to the last."""
    layout, spans = {}, []
    for name, entry in header.items():
        try:
            dtype, shape, (begin, end) = entry["dtype"], entry["shape"], entry["data_offsets"]
            numbers = [*shape, begin, end]
        except (TypeError, KeyError, ValueError):
            raise _damaged(path, f"its header describes {quoted(name)} by {quoted(entry)}") from None
        if not isinstance(dtype, str) or dtype not in DTYPES:
            raise _damaged(path, f"{quoted(name)} has the unknown dtype {quoted(dtype)}")
        if len(shape) > MOST_AXES or any(type(n) is not int or not 0 <= n < 1 << 63 for n in numbers):
            raise _damaged(path, f"{quoted(name)} has the shape {quoted(shape)} at bytes {begin} to {end}")
        if math.prod(max(1, n) for n in shape) >= 1 << 48:
            raise _damaged(path, f"{quoted(name)} has the shape {quoted(list(shape))}, more than any file holds")
        if math.prod(shape) * DTYPES[dtype].itemsize != end - begin:
            raise _damaged(
                path, f"{quoted(name)} of shape {quoted(tuple(shape))} in {dtype} does not fill bytes {begin} to {end}"
            )
        layout[name] = DTYPES[dtype], tuple(shape), begin
        spans.append((begin, end, name))
    reached = 0
    for begin, end, name in sorted(spans):
        if begin != reached:
            raise _damaged(path, f"{quoted(name)} begins at byte {begin}, and the one before it ends at {reached}")
        reached = end
    if reached != size:
        raise _damaged(path, f"its header describes {reached:,} bytes of arrays, and {size:,} are there")
    return layout


def _damaged(path: Path, reason: str) -> UserError:
    return UserError(f"'{path}' is not a whole safetensors file: {reason}")
