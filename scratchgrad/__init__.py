"""scratchgrad: a deep-learning framework from scratch, clear enough to teach from and fast enough to use.

    from scratchgrad import Tensor, functional as F, nn, optim

    w = Tensor([[1.0, 2.0]], requires_grad=True)
    (w * w).sum().backward()
    w.grad  # [[2, 4]]

Models, the tokenizer and the trainer stand in the rooms beside the engine: `from scratchgrad import models`.
"""

from typing import TYPE_CHECKING, Any

from scratchgrad import functional, kernels, nn, optim
from scratchgrad.anomaly import AnomalyError, detect_anomaly
from scratchgrad.autograd import no_grad
from scratchgrad.creation import (
    arange,
    bernoulli,
    eye,
    from_dlpack,
    full,
    full_like,
    linspace,
    multinomial,
    ones,
    ones_like,
    rand,
    rand_like,
    randint,
    randn,
    randn_like,
    tensor,
    zeros,
    zeros_like,
)
from scratchgrad.dispatch import op
from scratchgrad.drawing import draw, memory_table, play_backward
from scratchgrad.errors import UserError
from scratchgrad.files import load, save
from scratchgrad.gradient_check import GradcheckError, gradcheck
from scratchgrad.kernels.precision import precision, set_precision
from scratchgrad.packed_weights import fixed_weights
from scratchgrad.pytorch_names import missing_from
from scratchgrad.random import manual_seed
from scratchgrad.recomputation import recompute
from scratchgrad.tensor import Tensor, grad, trace_backward
from scratchgrad.threads import set_threads

__all__ = [
    "AnomalyError", "GradcheckError", "Tensor", "UserError", "arange", "bernoulli", "detect_anomaly", "draw", "eye",
    "fixed_weights", "from_dlpack", "full", "full_like", "functional", "grad", "gradcheck", "kernels", "linspace",
    "load", "manual_seed", "memory_table", "multinomial", "nn", "no_grad", "ones", "ones_like", "op", "optim",
    "play_backward", "precision", "rand", "rand_like", "randint", "randn", "randn_like", "recompute", "save",
    "set_precision", "set_threads", "tensor", "trace_backward", "zeros", "zeros_like",
]  # fmt: skip

if not TYPE_CHECKING:  # a type checker knows what there is

    def __getattr__(name: str) -> Any:
        raise missing_from("scratchgrad", name, __all__, dir(functional))
