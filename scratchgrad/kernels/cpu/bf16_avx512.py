"""bf16 products on processors with AVX512-BF16 but without AMX (AMD from Zen 4 on): three loops, compiled by LLVM.

NumKong reaches float32's speed there and no more (docs/performance-log.md), because it multiplies rows by rows. The
instruction itself, vdpbf16ps, adds a[0] * b[0] + a[1] * b[1] to each of 16 sums: it wants pairs of neighbours along the
axis that is summed over. Operands are kept in that form:

    right   panels of 48 columns: [panel][pair][column], one pair in 32 bits
    left    as it is, [row][pair], or, if it is to be transposed, groups of 8 rows: [group][pair][row]

8 rows times a panel are 24 vectors of 16 sums, which stay in registers while the pairs run by.
"""

from __future__ import annotations

import ctypes
from functools import cache
from importlib.resources import files
from itertools import groupby
from threading import Lock
from typing import Any, NamedTuple

import numpy as np
from llvmlite import binding
from ml_dtypes import bfloat16

from scratchgrad.backend import Array
from scratchgrad.threads import parallel_map, tiles

ROWS, COLUMNS, VECTOR = 8, 48, 16  # of the sums in registers; sums in one register
DEPTH = 512  # pairs between two visits of a sum: 8 rows and a panel of that depth stay in a core's cache
_compiling = Lock()


class Left(NamedTuple):
    """Rows of pairs: pair p of row r stands at bits[r // 8 * group + r % 8 * row + p * pair]."""

    bits: Array
    group: int
    row: int
    pair: int


class Right(NamedTuple):
    panels: Array  # uint32 (panels, pairs, 48)
    columns: int


def has_the_instruction() -> bool:
    features = binding.get_host_cpu_features()
    return bool(features.get("avx512bf16") and features.get("avx512vl"))


def is_the_fastest() -> bool:
    """AMX, where there is one, does four times as much."""
    return has_the_instruction() and not binding.get_host_cpu_features().get("amx-bf16")


def left(x: Array, *, transposed: bool = False) -> Left:
    """The left operand of a product: a bf16 matrix, or its transpose."""
    if transposed:
        groups = _pair_rows(x, ROWS)
        return Left(groups, groups.shape[1] * ROWS, 1, ROWS)
    pairs = _even(x).view(np.uint32)
    return Left(pairs, ROWS * pairs.shape[1], pairs.shape[1], 1)


def right(x: Array, *, transposed: bool = False) -> Right:
    """The right operand b of a @ b.T: a bf16 matrix (columns, depth), or (depth, columns) if it is transposed."""
    if transposed:
        return Right(_pair_rows(x, COLUMNS), x.shape[1])
    pairs = _even(x).view(np.uint32)
    panels = np.zeros((-(-len(x) // COLUMNS), pairs.shape[1], COLUMNS), np.uint32)

    def pack(panel: int) -> None:
        some = pairs[panel * COLUMNS : (panel + 1) * COLUMNS]
        panels[panel, :, : len(some)] = some.T

    parallel_map(pack, range(len(panels)))
    return Right(panels, len(x))


def multiply(a: Left, b: Right, out: Array, rows: slice) -> None:
    """out[rows] = (a @ b.T)[rows], on this thread. rows.start is a multiple of 8; out is float32 and contiguous."""
    first = rows.start // ROWS * a.group
    _function("multiply", 10)(
        a.bits.ctypes.data + 4 * first, a.group, a.row, a.pair, b.panels.ctypes.data, b.panels.shape[1],
        out.ctypes.data + 4 * rows.start * b.columns, rows.stop - rows.start, b.columns, DEPTH,
    )  # fmt: skip


def round_into(x: Array, out: Array) -> None:
    """Contiguous float32 x in bf16, to the nearest."""
    _function("round_to_bf16", 3)(x.ctypes.data, out.ctypes.data, x.size)


def _even(x: Array) -> Array:
    return x if x.shape[1] % 2 == 0 else np.pad(x.view(np.uint16), ((0, 0), (0, 1))).view(bfloat16)


def _pair_rows(x: Array, width: int) -> Array:
    """(depth, columns) as uint32 [group of `width` columns][pair of rows][column], padded by zeros."""
    depth, columns = x.shape
    pairs = -(-depth // 2)
    out = (np.zeros if columns % width else np.empty)((-(-columns // width), pairs, width), np.uint32)
    work = _function("pair_rows", 7)

    def pack(cut: slice) -> None:
        work(x.ctypes.data, depth, columns, out.ctypes.data, width, cut.start, cut.stop)

    parallel_map(pack, tiles(pairs, 64))
    return out


@cache
def _function(name: str, arguments: int) -> Any:
    prototype = ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * arguments)
    with _compiling:  # threads that start together would compile one each, and a cache keeps only the last alive
        address = _engine().get_function_address(name)
    return prototype(address)  # ctypes releases the GIL


@cache
def _engine() -> Any:
    binding.initialize_native_target()
    binding.initialize_native_asmprinter()
    features = binding.get_host_cpu_features().flatten()
    machine = binding.Target.from_default_triple().create_target_machine(
        cpu=binding.get_host_cpu_name(), features=features, opt=3
    )
    engine = binding.create_mcjit_compiler(_optimized(machine), machine)
    engine.finalize_object()
    return engine


def _optimized(machine: Any) -> Any:
    """The three loops as LLVM's module for a machine."""
    module = binding.parse_assembly(_program())
    options = binding.create_pipeline_tuning_options(speed_level=3)
    options.loop_vectorization = options.slp_vectorization = True
    options.loop_unrolling = False  # the sums would no longer fit into the registers
    passes = binding.create_pass_builder(machine, options)
    passes.getModulePassManager().run(module, passes)
    return module


def _program() -> str:
    """bf16_avx512.ll with its lines repeated: neighbouring lines that name {r} once for each row, a line that names {v}
    once for each vector. Row by row, because what a row reads is then used before the next row's is read: 24 sums leave
    few registers for it.
    """
    text = files("scratchgrad").joinpath("kernels", "cpu", "bf16_avx512.ll").read_text()
    code = [line for line in text.splitlines() if not line.startswith(";")]
    lines = []
    for names_a_row, group in groupby(code, lambda line: "{r}" in line):
        run = list(group)
        for r in range(ROWS) if names_a_row else (0,):
            for line in run:
                for v in range(COLUMNS // VECTOR) if "v}" in line else (0,):
                    lines.append(line.replace("{r}", str(r)).replace("{v}", str(v)).replace("{16v}", str(VECTOR * v)))
    return "\n".join(lines)
