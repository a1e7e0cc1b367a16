"""Files of llama2.c (https://github.com/karpathy/llama2.c, export.py): a header and a Llama's arrays behind it.

version 0: seven int32; a negative vocabulary says that the output layer is stored, too. float32.
version 1: the magic number, the version, the seven, a byte for a shared output layer; 256 bytes in all. float32.
version 2: as 1 with the size of a group behind; norms in float32, all else in int8 with a float32 scale for each group.

There the pairs that rotary positions turn are neighbours, rows 2i and 2i + 1 of a head's queries and keys. Here, as in
Hugging Face's files, they are rows i and i + width / 2.
"""

from __future__ import annotations

import math
import mmap
import struct
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np

from scratchgrad.errors import UserError
from scratchgrad.files import atomic_file
from scratchgrad.files.faults import read_fault
from scratchgrad.models.llama import Llama, LlamaConfig
from scratchgrad.models.model import Model
from scratchgrad.models.shards import pickled
from scratchgrad.models.weights import to_hugging_face

MAGIC = 0x616B3432  # "ak42"
HEADER = 256  # bytes, from version 1 on
RMS_NORM_EPS, ROPE_THETA = 1e-5, 10000.0  # which its programs calculate with, and no file names
ATTENTION = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj")
FEED_FORWARD = ("mlp.gate_proj", "mlp.down_proj", "mlp.up_proj")
FREQS_CIS = "freqs_cis"  # cosines, then sines, of all positions: in version 0, and read by nobody

Array = np.ndarray[Any, Any]


class Header(NamedTuple):
    version: int
    config: LlamaConfig
    group_size: int  # numbers that share a scale; 0 where nothing is quantised
    end: int  # in bytes: where the arrays begin


class TensorInfo(NamedTuple):
    """Where an array of the file stands, by the name of its tensor in Hugging Face's files."""

    name: str
    shape: tuple[int, ...]
    offset: int  # in bytes
    group_size: int  # 0 for float32

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        return self.size + 4 * self.size // self.group_size if self.group_size else 4 * self.size


def read_llama2c(path: Path) -> Llama:
    """The model in a file of version 0, 1 or 2, in float32. UserError where its size is not what its header tells.

    Nothing is allocated before that, and arrays are taken from the mapped file one by one.
    """
    tensor_infos, config = describe_llama2c(path)
    model = Llama.with_shapes_only(config)
    for parameter in model.parameters():
        parameter.data = np.empty(parameter.shape, np.float32)
    with path.open("rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    tensors = to_hugging_face(model.state_dict(), model.weight_map(config))
    for info in tensor_infos:
        rows = _interleaved(info.name, tensors[info.name], config)
        rows[...] = _array(mapped, info).reshape(rows.shape)
    return model


def write_llama2c(model: Model, path: Path, *, version: int = 0) -> None:
    """Write a Llama as version 0 or 1. UserError for a model that llama2.c would calculate otherwise."""
    if version not in (0, 1):
        raise UserError(f"version {version} of llama2.c's files is not written: 0 and 1 are")
    config = model.config
    _check_writable(model)
    sizes = (
        config.hidden_size, config.intermediate_size, config.num_hidden_layers, config.num_attention_heads,
        config.num_key_value_heads, config.vocab_size, config.max_position_embeddings,
    )  # fmt: skip
    is_tied = config.tie_word_embeddings
    tensors = to_hugging_face(model.state_dict(), model.weight_map(config))
    with atomic_file(path) as file:
        if version == 0:
            file.write(struct.pack("<7i", *sizes[:5], sizes[5] if is_tied else -sizes[5], sizes[6]))
        else:
            file.write(struct.pack("<Ii7iB", MAGIC, version, *sizes, is_tied).ljust(HEADER, b"\0"))
        for info in _tensor_infos(Header(version, config, 0, file.tell())):
            if info.name == FREQS_CIS:
                _write_freqs_cis(file, config)
            else:
                file.write(_interleaved(info.name, tensors[info.name], config).astype("<f4").tobytes())


def describe_llama2c(path: Path) -> tuple[list[TensorInfo], LlamaConfig]:
    """Where each array of a file stands, and the model's config; UserError where header and size do not agree."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(0)
            header = _parsed(path, file.read(HEADER))
    except OSError as error:
        raise read_fault(path, error) from None
    tensor_infos = _tensor_infos(header)
    if any(info.group_size and info.size % info.group_size for info in tensor_infos):
        raise _damaged(path, f"groups of {header.group_size} do not divide its arrays")
    expected = tensor_infos[-1].offset + tensor_infos[-1].nbytes
    if expected != size:
        raise _damaged(path, f"its header describes {expected:,} bytes, and the file has {size:,}")
    return [info for info in tensor_infos if info.name != FREQS_CIS], header.config


def _parsed(path: Path, start: bytes) -> Header:
    if start.startswith((b"PK\x03\x04", b"\x80")):  # a zip of torch.save, or a pickle
        raise pickled(path)
    if len(start) < 28:
        raise _damaged(path, "it ends inside its header")
    version, group, end = 0, 0, 28
    sizes: tuple[int, ...] = struct.unpack_from("<7i", start)
    is_tied = sizes[5] > 0
    if struct.unpack_from("<I", start) == (MAGIC,):
        if len(start) < HEADER:
            raise _damaged(path, "it ends inside its header")
        (version,), sizes, end = struct.unpack_from("<i", start, 4), struct.unpack_from("<7i", start, 8), HEADER
        is_tied, group = struct.unpack_from("<Bi", start, 36)
        if version not in (1, 2):
            raise UserError(f"'{path}' is a llama2.c file of version {version}; 0, 1 and 2 are read")
        group = group if version == 2 else 0
    if version == 2 and group <= 0:
        raise _damaged(path, f"its groups have {group} numbers")
    names = (
        "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads",
        "vocab_size", "max_position_embeddings",
    )  # fmt: skip
    values = dict(zip(names, sizes, strict=True))
    values["vocab_size"] = abs(values["vocab_size"]) if version == 0 else values["vocab_size"]
    try:
        config = LlamaConfig.checked(
            {**values, "tie_word_embeddings": bool(is_tied), "rms_norm_eps": RMS_NORM_EPS, "rope_theta": ROPE_THETA}
        )
    except UserError as error:
        raise _damaged(path, str(error)) from None
    return Header(version, config, group, end)


def _tensor_infos(header: Header) -> list[TensorInfo]:
    """All arrays of a file, in its order."""
    config = header.config
    tensors = to_hugging_face(Llama.with_shapes_only(config).state_dict(), Llama.weight_map(config))
    shapes = {name: array.shape for name, array in tensors.items()}
    shapes[FREQS_CIS] = (2, config.max_position_embeddings, config.hidden_size // config.num_attention_heads // 2)

    def of_layers(*parts: str) -> list[str]:
        return [f"model.layers.{i}.{part}.weight" for part in parts for i in range(config.num_hidden_layers)]

    first, second = of_layers("input_layernorm"), of_layers("post_attention_layernorm")
    attention, feed_forward = of_layers(*ATTENTION), of_layers(*FEED_FORWARD)
    embedding, norm = "model.embed_tokens.weight", "model.norm.weight"
    if header.version == 0:
        order = [embedding, *first, *attention, *second, *feed_forward, norm, FREQS_CIS]
    else:
        order = [*first, *second, norm, embedding, *attention, *feed_forward]
    if not config.tie_word_embeddings:
        order.append("lm_head.weight")
    tensor_infos: list[TensorInfo] = []
    offset = header.end
    for name in order:
        tensor_infos.append(TensorInfo(name, shapes[name], offset, header.group_size if len(shapes[name]) > 1 else 0))
        offset += tensor_infos[-1].nbytes
    return tensor_infos


def _array(mapped: mmap.mmap, info: TensorInfo) -> Array:
    """The numbers of an array of the file: a view of them, or what they were before they were quantised."""
    if not info.group_size:
        return np.frombuffer(mapped, "<f4", info.size, info.offset)
    scales = np.frombuffer(mapped, "<f4", info.size // info.group_size, info.offset + info.size)
    numbers = np.frombuffer(mapped, np.int8, info.size, info.offset).reshape(-1, info.group_size)
    values: Array = np.multiply(numbers, scales[:, None], dtype=np.float32)
    return values


def _interleaved(name: str, rows: Array, config: LlamaConfig) -> Array:
    """Queries or keys (rows, hidden_size) in the file's order, (head, head_dim / 2, 2, hidden_size); others unchanged.

    A view of `rows`, to be read from and to be written to.
    """
    if not name.endswith(("q_proj.weight", "k_proj.weight")):
        return rows
    half = config.hidden_size // config.num_attention_heads // 2
    return rows.reshape(-1, 2, half, config.hidden_size).swapaxes(1, 2)


def _check_writable(model: Model) -> None:
    config = model.config
    if not isinstance(model, Llama):
        raise UserError(f"llama2.c calculates Llamas, and this is a model of type {config.model_type}")
    if config.rope_theta != ROPE_THETA:
        raise UserError(
            f"llama2.c calculates with rope_theta = {ROPE_THETA:g}, and this model has {config.rope_theta:g}"
        )
    if config.rms_norm_eps != RMS_NORM_EPS:
        raise UserError(
            f"llama2.c calculates with rms_norm_eps = {RMS_NORM_EPS:g}, and this model has {config.rms_norm_eps:g}: "
            "train it with model.rms_norm_eps=1e-5, or put 1e-5 into its config.json and see whether it still does well"
        )


def _write_freqs_cis(file: IO[bytes], config: LlamaConfig) -> None:
    half = config.hidden_size // config.num_attention_heads // 2
    angles = np.outer(np.arange(config.max_position_embeddings), ROPE_THETA ** (-np.arange(half) / half))
    file.write(np.cos(angles).astype("<f4").tobytes() + np.sin(angles).astype("<f4").tobytes())


def _damaged(path: Path, reason: str) -> UserError:
    return UserError(f"'{path}' is not a whole llama2.c file: {reason}")
