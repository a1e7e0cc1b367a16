"""Every op by name, as `from scratchgrad import functional as F` has it."""

from scratchgrad.ops.activation import relu, sigmoid, silu, swiglu, tanh
from scratchgrad.ops.attention import scaled_dot_product_attention
from scratchgrad.ops.dropout import dropout
from scratchgrad.ops.elementwise import add, div, exp, log, mul, neg, pow, sqrt, sub
from scratchgrad.ops.embedding import embedding
from scratchgrad.ops.linalg import linear, matmul
from scratchgrad.ops.loss import linear_cross_entropy
from scratchgrad.ops.norm import rms_norm
from scratchgrad.ops.reduction import mean, sum
from scratchgrad.ops.rotary import rotary
from scratchgrad.ops.shape import getitem, reshape, transpose

__all__ = [
    "add", "div", "dropout", "embedding", "exp", "getitem", "linear", "linear_cross_entropy", "log", "matmul", "mean",
    "mul", "neg", "pow", "relu", "reshape", "rms_norm", "rotary", "scaled_dot_product_attention", "sigmoid", "silu",
    "sqrt", "sub", "sum", "swiglu", "tanh", "transpose",
]  # fmt: skip
