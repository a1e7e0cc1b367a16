"""The methods of a Tensor that are ops: one row each, NumPy's names first, then PyTorch's for the same ops."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar

import numpy as np

from scratchgrad.operators import FUNCTIONS, OPS

Result = TypeVar("Result")  # Tensor, which this file stands below


def method(name: str, spread: str = "", **fixed: Any) -> Callable[..., Any]:
    """Function `name` of scratchgrad.functional as a method, with `fixed` options.

    spread: the option that all numbers of the call are: reshape(2, 3) and reshape((2, 3)) are the same.
    """

    if spread:

        def call(self: Any, *args: Any, **options: Any) -> Any:
            if args:
                options[spread] = tuple(args[0]) if len(args) == 1 and isinstance(args[0], list | tuple) else args
            return OPS[name](self, **options)

    elif fixed:

        def call(self: Any, *args: Any, **options: Any) -> Any:
            return OPS[name](self, *args, **fixed, **options)

    else:

        def call(self: Any, *args: Any, **options: Any) -> Any:
            try:
                function = OPS[name]
            except KeyError:
                function = FUNCTIONS[name]
            return function(self, *args, **options)

    call.__name__ = name
    call.__doc__ = f"scratchgrad.functional.{name} of this tensor."
    return call


def along(name: str, *options: str) -> Callable[..., Any]:
    """`method(name)` in PyTorch's order, which has the axis first: x.scatter(dim, index, src).

    options: those that may follow without their names.
    """

    def call(self: Any, dim: int, index: Any, src: Any, *args: Any, **named: Any) -> Any:
        return OPS[name](self, index, src, axis=dim, **dict(zip(options, args, strict=False)), **named)

    call.__name__ = name
    call.__doc__ = f"scratchgrad.functional.{name} of this tensor, along `dim`."
    return call


class Methods(Generic[Result]):
    """What a Tensor inherits: `Methods["Tensor"]`."""

    __slots__ = ()

    # NumPy's

    sum: Callable[..., Result] = method("sum")
    mean: Callable[..., Result] = method("mean")
    var: Callable[..., Result] = method("var")
    std: Callable[..., Result] = method("std")
    max: Callable[..., Result] = method("max")
    min: Callable[..., Result] = method("min")
    prod: Callable[..., Result] = method("prod")
    any: Callable[..., Result] = method("any")
    all: Callable[..., Result] = method("all")
    argmax: Callable[..., Result] = method("argmax")
    argmin: Callable[..., Result] = method("argmin")
    norm: Callable[..., Result] = method("norm")
    argsort: Callable[..., Result] = method("argsort")
    cumsum: Callable[..., Result] = method("cumsum")
    reshape: Callable[..., Result] = method("reshape", spread="shape")
    transpose: Callable[..., Result] = method("transpose", spread="axes")
    swapaxes: Callable[..., Result] = method("swapaxes")
    squeeze: Callable[..., Result] = method("squeeze")
    flatten: Callable[..., Result] = method("flatten")
    repeat: Callable[..., Result] = method("repeat")
    take: Callable[..., Result] = method("take")
    copy: Callable[..., Result] = method("copy")
    astype: Callable[..., Result] = method("astype")
    cumprod: Callable[..., Result] = method("cumprod")
    diagonal: Callable[..., Result] = method("diagonal")
    clip: Callable[..., Result] = method("clamp")
    round: Callable[..., Result] = method("round")

    # Of one number

    abs: Callable[..., Result] = method("abs")
    exp: Callable[..., Result] = method("exp")
    expm1: Callable[..., Result] = method("expm1")
    log: Callable[..., Result] = method("log")
    log1p: Callable[..., Result] = method("log1p")
    sqrt: Callable[..., Result] = method("sqrt")
    rsqrt: Callable[..., Result] = method("rsqrt")
    sin: Callable[..., Result] = method("sin")
    cos: Callable[..., Result] = method("cos")
    erf: Callable[..., Result] = method("erf")
    sign: Callable[..., Result] = method("sign")
    floor: Callable[..., Result] = method("floor")
    ceil: Callable[..., Result] = method("ceil")
    neg: Callable[..., Result] = method("neg")
    log2: Callable[..., Result] = method("log2")
    log10: Callable[..., Result] = method("log10")
    exp2: Callable[..., Result] = method("exp2")
    square: Callable[..., Result] = method("square")
    reciprocal: Callable[..., Result] = method("reciprocal")
    tan: Callable[..., Result] = method("tan")
    sinh: Callable[..., Result] = method("sinh")
    cosh: Callable[..., Result] = method("cosh")
    trunc: Callable[..., Result] = method("trunc")
    nan_to_num: Callable[..., Result] = method("nan_to_num")
    isnan: Callable[..., Result] = method("isnan")
    isinf: Callable[..., Result] = method("isinf")
    isfinite: Callable[..., Result] = method("isfinite")
    relu: Callable[..., Result] = method("relu")
    sigmoid: Callable[..., Result] = method("sigmoid")
    tanh: Callable[..., Result] = method("tanh")
    softmax: Callable[..., Result] = method("softmax")
    log_softmax: Callable[..., Result] = method("log_softmax")
    logsumexp: Callable[..., Result] = method("logsumexp")
    logcumsumexp: Callable[..., Result] = method("logcumsumexp")
    quantile: Callable[..., Result] = method("quantile")
    clamp: Callable[..., Result] = method("clamp")

    # PyTorch's, of two

    add: Callable[..., Result] = method("add")
    sub: Callable[..., Result] = method("sub")
    mul: Callable[..., Result] = method("mul")
    div: Callable[..., Result] = method("div")
    pow: Callable[..., Result] = method("pow")
    maximum: Callable[..., Result] = method("maximum")
    minimum: Callable[..., Result] = method("minimum")
    atan2: Callable[..., Result] = method("atan2")
    fmod: Callable[..., Result] = method("fmod")
    remainder: Callable[..., Result] = method("remainder")
    floor_divide: Callable[..., Result] = method("floor_divide")
    logaddexp: Callable[..., Result] = method("logaddexp")
    lerp: Callable[..., Result] = method("lerp")
    isclose: Callable[..., Result] = method("isclose")
    matmul: Callable[..., Result] = method("matmul")
    mm: Callable[..., Result] = method("matmul")
    bmm: Callable[..., Result] = method("matmul")
    eq: Callable[..., Result] = method("eq")
    ne: Callable[..., Result] = method("ne")
    lt: Callable[..., Result] = method("lt")
    le: Callable[..., Result] = method("le")
    gt: Callable[..., Result] = method("gt")
    ge: Callable[..., Result] = method("ge")
    logical_and: Callable[..., Result] = method("logical_and")
    logical_or: Callable[..., Result] = method("logical_or")
    logical_xor: Callable[..., Result] = method("logical_xor")
    logical_not: Callable[..., Result] = method("logical_not")
    bitwise_and: Callable[..., Result] = method("bitwise_and")
    bitwise_or: Callable[..., Result] = method("bitwise_or")
    bitwise_xor: Callable[..., Result] = method("bitwise_xor")
    bitwise_not: Callable[..., Result] = method("bitwise_not")

    # PyTorch's, of shape, place and dtype

    view: Callable[..., Result] = method("reshape", spread="shape")
    permute: Callable[..., Result] = method("transpose", spread="axes")
    t: Callable[..., Result] = method("transpose")
    unsqueeze: Callable[..., Result] = method("expand_dims")
    expand: Callable[..., Result] = method("broadcast_to", spread="shape")
    tile: Callable[..., Result] = method("tile", spread="reps")
    flip: Callable[..., Result] = method("flip", spread="axis")
    tril: Callable[..., Result] = method("tril")
    triu: Callable[..., Result] = method("triu")
    contiguous: Callable[..., Result] = method("contiguous")
    clone: Callable[..., Result] = method("copy")
    masked_fill: Callable[..., Result] = method("masked_fill")
    gather: Callable[..., Result] = method("gather")
    scatter: Callable[..., Result] = along("scatter")
    scatter_add: Callable[..., Result] = along("scatter_add")
    scatter_reduce: Callable[..., Result] = along("scatter_reduce", "reduce")
    index_add: Callable[..., Result] = along("index_add")
    index_copy: Callable[..., Result] = along("index_copy")
    masked_scatter: Callable[..., Result] = method("masked_scatter")
    unfold: Callable[..., Result] = method("unfold")
    roll: Callable[..., Result] = method("roll")
    broadcast_to: Callable[..., Result] = method("broadcast_to", spread="shape")
    sort: Callable[..., tuple[Result, Result]] = method("sort")
    topk: Callable[..., tuple[Result, Result]] = method("topk")
    cpu: Callable[..., Result] = method("to_device", device="cpu")
    cuda: Callable[..., Result] = method("to_device", device="cuda")
    half: Callable[..., Result] = method("astype", dtype=np.float16)
    float: Callable[..., Result] = method("astype", dtype=np.float32)
    double: Callable[..., Result] = method("astype", dtype=np.float64)
    int: Callable[..., Result] = method("astype", dtype=np.int32)
    long: Callable[..., Result] = method("astype", dtype=np.int64)
    bool: Callable[..., Result] = method("astype", dtype=np.bool_)
