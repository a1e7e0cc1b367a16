"""Every op by name, as `from scratchgrad import functional as F` has it; below, some by PyTorch's names, too."""

from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from scratchgrad.ops import indexing
from scratchgrad.ops.activation import gelu, relu, sigmoid, silu, softplus, swiglu, tanh
from scratchgrad.ops.arithmetic import (
    abs,
    add,
    clamp,
    div,
    floor_divide,
    maximum,
    minimum,
    mul,
    neg,
    pow,
    remainder,
    sub,
    where,
)
from scratchgrad.ops.attention import ragged_attention, scaled_dot_product_attention
from scratchgrad.ops.comparison import eq, ge, gt, isfinite, isnan, le, lt, ne
from scratchgrad.ops.cross_entropy import cross_entropy, nll_loss
from scratchgrad.ops.dropout import dropout
from scratchgrad.ops.elementwise import ceil, cos, erf, exp, expm1, floor, log, log1p, round, rsqrt, sign, sin, sqrt
from scratchgrad.ops.embedding import embedding
from scratchgrad.ops.feed_forward import swiglu_feed_forward
from scratchgrad.ops.indexing import (
    argsort,
    getitem,
    index_add,
    masked_fill,
    one_hot,
    scatter_add,
    setitem,
    sort,
    take,
    take_along_axis,
    topk,
)
from scratchgrad.ops.linalg import contract, einsum, grouped_linear, linear, matmul, outer
from scratchgrad.ops.linear_cross_entropy import linear_cross_entropy
from scratchgrad.ops.loss import binary_cross_entropy_with_logits, kl_div, mse_loss
from scratchgrad.ops.norm import layer_norm, rms_norm
from scratchgrad.ops.positions import alibi_bias, relative_position_buckets, sinusoidal_positions
from scratchgrad.ops.reduction import all, any, argmax, argmin, cumsum, max, mean, min, norm, prod, std, sum, var
from scratchgrad.ops.rotary import rotary
from scratchgrad.ops.routing import load_balance_loss, router_z_loss, topk_routing
from scratchgrad.ops.shape import (
    astype,
    broadcast_to,
    concatenate,
    contiguous,
    copy,
    diagonal,
    expand_dims,
    flatten,
    flip,
    pad,
    repeat,
    reshape,
    roll,
    split,
    squeeze,
    stack,
    swapaxes,
    tile,
    to_device,
    transpose,
    tril,
    triu,
    unfold,
)
from scratchgrad.ops.softmax import log_softmax, logsumexp, softmax
from scratchgrad.pytorch_names import MISSING, say_what_to_write, what_to_write
from scratchgrad.tensor import Tensor

__all__ = [
    "abs", "add", "alibi_bias", "all", "any", "argmax", "argmin", "argsort", "astype",
    "binary_cross_entropy_with_logits", "broadcast_to", "ceil", "clamp", "concatenate", "contiguous", "contract",
    "copy", "cos", "cross_entropy", "cumsum", "diagonal", "div", "dropout", "einsum", "embedding", "eq", "erf",
    "exp", "expand_dims", "expm1", "flatten", "flip", "floor", "floor_divide", "ge", "gelu", "getitem",
    "grouped_linear", "gt", "index_add", "isfinite", "isnan", "kl_div", "layer_norm", "le", "linear",
    "linear_cross_entropy", "load_balance_loss", "log", "log1p", "log_softmax", "logsumexp", "lt", "masked_fill",
    "matmul", "max", "maximum", "mean", "min", "minimum", "mse_loss", "mul", "ne", "neg", "nll_loss", "norm",
    "one_hot", "outer", "pad", "pow", "prod", "ragged_attention", "relative_position_buckets", "relu", "remainder",
    "repeat", "reshape", "rms_norm", "roll", "rotary", "round", "router_z_loss", "rsqrt",
    "scaled_dot_product_attention", "scatter_add", "setitem", "sigmoid", "sign", "silu", "sin",
    "sinusoidal_positions", "softmax", "softplus", "sort", "split", "sqrt", "squeeze", "stack", "std", "sub", "sum",
    "swapaxes", "swiglu", "swiglu_feed_forward", "take", "take_along_axis", "tanh", "tile", "to_device", "topk",
    "topk_routing", "transpose", "tril", "triu", "unfold", "var", "where",
]  # fmt: skip

cat = concatenate
gather = indexing.gather
unsqueeze = expand_dims
permute = transpose
mm = bmm = matmul
clip = clamp

say_what_to_write(Tensor, __all__)

if not TYPE_CHECKING:  # a type checker knows what there is

    def __getattr__(name: str) -> Any:
        if name in MISSING:
            raise AttributeError(what_to_write("scratchgrad.functional", name))
        close = get_close_matches(name, __all__, n=1, cutoff=0.75)
        hint = f"; did you mean '{close[0]}'?" if close else ""
        raise AttributeError(f"scratchgrad.functional has no '{name}'{hint}")
