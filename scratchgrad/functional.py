"""Every op by name, as `from scratchgrad import functional as F` has it; below, some by PyTorch's names, too."""

from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from scratchgrad.ops import indexing
from scratchgrad.ops.activation import (
    elu,
    gelu,
    glu,
    leaky_relu,
    logsigmoid,
    mish,
    relu,
    sigmoid,
    silu,
    softplus,
    swiglu,
    tanh,
)
from scratchgrad.ops.arithmetic import (
    abs,
    add,
    atan2,
    clamp,
    div,
    floor_divide,
    fmod,
    lerp,
    logaddexp,
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
from scratchgrad.ops.comparison import eq, ge, gt, isclose, isfinite, isinf, isnan, le, lt, ne
from scratchgrad.ops.convolution import conv1d
from scratchgrad.ops.cross_entropy import cross_entropy, nll_loss
from scratchgrad.ops.cumulative import cummax, cummin, cumprod, cumsum, cumulative_argmax, logcumsumexp
from scratchgrad.ops.dropout import dropout
from scratchgrad.ops.elementwise import (
    ceil,
    cos,
    cosh,
    erf,
    exp,
    exp2,
    expm1,
    floor,
    log,
    log1p,
    log2,
    log10,
    nan_to_num,
    reciprocal,
    round,
    rsqrt,
    sign,
    sin,
    sinh,
    sqrt,
    square,
    tan,
    trunc,
)
from scratchgrad.ops.embedding import embedding
from scratchgrad.ops.feed_forward import swiglu_feed_forward
from scratchgrad.ops.indexing import (
    getitem,
    index_add,
    masked_fill,
    one_hot,
    scatter_add,
    setitem,
    take,
    take_along_axis,
)
from scratchgrad.ops.linalg import contract, einsum, grouped_linear, linear, matmul, outer
from scratchgrad.ops.linear_cross_entropy import linear_cross_entropy
from scratchgrad.ops.logic import (
    bitwise_and,
    bitwise_not,
    bitwise_or,
    bitwise_xor,
    logical_and,
    logical_not,
    logical_or,
    logical_xor,
)
from scratchgrad.ops.loss import (
    binary_cross_entropy,
    binary_cross_entropy_with_logits,
    huber_loss,
    kl_div,
    l1_loss,
    mse_loss,
    smooth_l1_loss,
)
from scratchgrad.ops.norm import cosine_similarity, group_norm, layer_norm, normalize, rms_norm
from scratchgrad.ops.order import (
    argsort,
    bincount,
    median,
    nonzero,
    quantile,
    searchsorted,
    sort,
    topk,
    tril_indices,
    triu_indices,
    unique,
)
from scratchgrad.ops.positions import alibi_bias, relative_position_buckets, sinusoidal_positions
from scratchgrad.ops.reduction import all, any, argmax, argmin, max, mean, min, norm, prod, std, sum, var
from scratchgrad.ops.rotary import rotary
from scratchgrad.ops.routing import load_balance_loss, router_z_loss, topk_routing
from scratchgrad.ops.scatter import index_copy, index_put, masked_scatter, scatter, scatter_reduce
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
    "abs", "add", "alibi_bias", "all", "any", "argmax", "argmin", "argsort", "astype", "atan2",
    "binary_cross_entropy", "binary_cross_entropy_with_logits", "bincount", "bitwise_and", "bitwise_not",
    "bitwise_or", "bitwise_xor", "broadcast_to", "ceil", "clamp", "concatenate", "contiguous", "contract", "conv1d",
    "copy", "cos", "cosh", "cosine_similarity", "cross_entropy", "cummax", "cummin", "cumprod", "cumsum",
    "cumulative_argmax", "diagonal", "div", "dropout", "einsum", "elu", "embedding", "eq", "erf", "exp", "exp2",
    "expand_dims", "expm1", "flatten", "flip", "floor", "floor_divide", "fmod", "ge", "gelu", "getitem", "glu",
    "group_norm", "grouped_linear", "gt", "huber_loss", "index_add", "index_copy", "index_put", "isclose",
    "isfinite", "isinf", "isnan", "kl_div", "l1_loss", "layer_norm", "le", "leaky_relu", "lerp", "linear",
    "linear_cross_entropy", "load_balance_loss", "log", "log1p", "log2", "log10", "log_softmax", "logaddexp",
    "logcumsumexp", "logical_and", "logical_not", "logical_or", "logical_xor", "logsigmoid", "logsumexp", "lt",
    "masked_fill", "masked_scatter", "matmul", "max", "maximum", "mean", "median", "min", "minimum", "mish",
    "mse_loss", "mul", "nan_to_num", "ne", "neg", "nll_loss", "nonzero", "norm", "normalize", "one_hot", "outer",
    "pad", "pow", "prod", "quantile", "ragged_attention", "reciprocal", "relative_position_buckets", "relu",
    "remainder", "repeat", "reshape", "rms_norm", "roll", "rotary", "round", "router_z_loss", "rsqrt",
    "scaled_dot_product_attention", "scatter", "scatter_add", "scatter_reduce", "searchsorted", "setitem",
    "sigmoid", "sign", "silu", "sin", "sinh", "sinusoidal_positions", "smooth_l1_loss", "softmax", "softplus",
    "sort", "split", "sqrt", "square", "squeeze", "stack", "std", "sub", "sum", "swapaxes", "swiglu",
    "swiglu_feed_forward", "take", "take_along_axis", "tan", "tanh", "tile", "to_device", "topk", "topk_routing",
    "transpose", "tril", "tril_indices", "triu", "triu_indices", "trunc", "unfold", "unique", "var", "where",
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
