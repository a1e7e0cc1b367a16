"""scratchgrad: a deep-learning framework from scratch, clear enough to teach from and fast enough to use.

    from scratchgrad import Tensor, functional as F, nn, optim

    w = Tensor([[1.0, 2.0]], requires_grad=True)
    (w * w).sum().backward()
    w.grad  # [[2, 4]]

Models, the tokenizer and the trainer stand in the rooms beside the engine: `from scratchgrad import models`.
"""

from scratchgrad import functional, kernels, nn, optim
from scratchgrad.autograd import no_grad
from scratchgrad.errors import UserError
from scratchgrad.gradient_check import GradcheckError, gradcheck
from scratchgrad.random import manual_seed
from scratchgrad.recomputation import recompute
from scratchgrad.tensor import Tensor, op
from scratchgrad.threads import set_threads

__all__ = [
    "GradcheckError", "Tensor", "UserError", "functional", "gradcheck", "kernels", "manual_seed", "nn", "no_grad", "op",
    "optim", "recompute", "set_threads",
]  # fmt: skip
