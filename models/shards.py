"""The files that hold a model's weights: model.safetensors, or several with an index that says which has what."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import ml_dtypes
import numpy as np

from scratchgrad.errors import UserError, quoted
from scratchgrad.files import atomic_file, map_tensors, read_json, write_json, write_tensors
from scratchgrad.models.weights import Arrays

Dtype = Literal["float32", "float16", "bfloat16"]
DTYPES = {
    "float32": np.dtype(np.float32),
    "float16": np.dtype(np.float16),
    "bfloat16": np.dtype(ml_dtypes.bfloat16),
}
SINGLE, INDEX = "model.safetensors", "model.safetensors.index.json"
LARGEST_SHARD = 5 * 10**9  # bytes, as Hugging Face has it
MARK = {"format": "pt"}  # metadata that transformers looks for
PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")


def map_weights(folder: Path) -> Arrays:
    """All arrays of a model directory, mapped into memory: see `map_tensors`.

    UserError where there are none, where they are pickled, or where the index and the files do not agree.
    """
    if (folder / SINGLE).exists():
        return map_tensors(folder / SINGLE)
    if (folder / INDEX).exists():
        return _map_shards(folder)
    for path in sorted(path for pattern in PICKLES for path in folder.glob(pattern)):
        raise pickled(path)
    raise UserError(f"'{folder / SINGLE}' does not exist: a model directory holds its weights under that name")


def pickled(path: Path) -> UserError:
    """The refusal of a file that is a program."""
    return UserError(
        f"'{path}' is pickled, and opening such a file runs what its writer put into it: where you trust it, open the "
        "model once with transformers and write it again with model.save_pretrained(FOLDER), which makes safetensors"
    )


def _map_shards(folder: Path) -> Arrays:
    index = folder / INDEX
    where = read_json(index).get("weight_map")
    if not isinstance(where, dict) or not all(isinstance(file, str) for file in where.values()):
        raise UserError(f"'{index}' has no weight_map that tells the file of each weight")
    arrays: Arrays = {}
    for file in sorted(set(where.values())):
        if Path(file).name != file or "\0" in file or len(file) > 200 or not file.endswith(".safetensors"):
            raise UserError(f"'{index}' names the file {quoted(file)}, which is none of a model directory's own")
        if not (folder / file).exists():
            raise UserError(
                f"'{folder / file}' does not exist, and '{index}' names it: one part of the model is missing"
            )
        shard = map_tensors(folder / file)
        indexed = {name for name, place in where.items() if place == file}
        if shard.keys() != indexed:
            wrong = ", ".join(f"'{name}'" for name in sorted(shard.keys() ^ indexed))
            raise UserError(f"'{folder / file}' does not hold what '{index}' says of it: {wrong}")
        arrays |= shard
    return arrays


def write_weights(folder: Path, tensors: Arrays, dtype: Dtype, max_shard_size: int) -> None:
    """Write `tensors` as `dtype`, in files of at most `max_shard_size` bytes, or of one tensor that is larger.

    What reads a folder while it is written over finds the old model or the new one, unless both are in parts.
    """
    shards = list(_cut(tensors, DTYPES[dtype].itemsize, max_shard_size))
    before = weight_files(folder)
    count = len(shards)
    names = [SINGLE] if count == 1 else [f"model-{i + 1:05}-of-{count:05}.safetensors" for i in range(count)]
    for name, shard in zip(names, shards, strict=True):
        with atomic_file(folder / name) as file:
            write_tensors(Path(file.name), shard, MARK, dtype=DTYPES[dtype])
    written = set(names)
    if count > 1:
        size = sum(array.size for array in tensors.values()) * DTYPES[dtype].itemsize
        where = {tensor: name for name, shard in zip(names, shards, strict=True) for tensor in shard}
        write_json(folder / INDEX, {"metadata": {"total_size": size}, "weight_map": where})
        written.add(INDEX)
    for path in sorted(before, key=lambda path: path.name != SINGLE):  # it is read first, where it is there
        if path.name not in written:
            path.unlink()


def weight_files(folder: Path) -> list[Path]:
    """Those that `write_weights` may have written there."""
    return [path for pattern in ("model-*-of-*.safetensors", SINGLE, INDEX) for path in folder.glob(pattern)]


def _cut(tensors: Arrays, itemsize: int, limit: int) -> Iterator[Arrays]:
    """The tensors in their order, as many together as `limit` bytes hold."""
    shard: Arrays = {}
    size = 0
    for name, array in tensors.items():
        if shard and size + array.size * itemsize > limit:
            yield shard
            shard, size = {}, 0
        shard[name] = array
        size += array.size * itemsize
    yield shard
