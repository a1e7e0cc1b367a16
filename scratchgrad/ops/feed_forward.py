"""The feed-forward part of a Llama as one op, so that a kernel can keep what is between its products in a cache."""

from __future__ import annotations

from typing import Any

from scratchgrad.autograd import Backward
from scratchgrad.backend import Array
from scratchgrad.dispatch import compute, op


@op
def swiglu_feed_forward(
    x: Array, gate_up: Array, down: Array, *, needs_input_grad: tuple[bool, ...]
) -> tuple[Array, Backward]:
    """linear(swiglu(linear(x, gate_up)), down) (Shazeer 2020, "GLU variants").

    x (..., inputs); gate_up (2 * width, inputs), the rows of the gate first; down (outputs, width); returns
    (..., outputs).
    """
    return in_three_steps(x, gate_up, down, needs_input_grad)


def in_three_steps(x: Array, gate_up: Array, down: Array, needs_input_grad: tuple[bool, ...]) -> tuple[Array, Backward]:
    """The op by those that it is made of, with their kernels."""
    check_shapes(x, gate_up, down)
    both, backward_of_both = compute("linear", x, gate_up)
    hidden, backward_of_hidden = compute("swiglu", both)
    out, backward_of_out = compute("linear", hidden, down)

    def backward(grad: Array) -> tuple[Any, Any, Any]:
        of_hidden, of_down = backward_of_out(grad)[:2]
        if not any(needs_input_grad[:2]):
            return None, None, of_down
        of_x, of_gate_up = backward_of_both(*backward_of_hidden(of_hidden()))[:2]
        return of_x, of_gate_up, of_down

    return out, backward


def check_shapes(x: Array, gate_up: Array, down: Array) -> None:
    """ValueError that says which shapes of the weights fit to x, and to each other."""
    if gate_up.ndim != 2 or down.ndim != 2 or x.shape[-1:] != gate_up.shape[1:] or len(gate_up) != 2 * down.shape[1]:
        raise ValueError(
            "gate_up must have shape (2 * width, inputs) and down (outputs, width), where inputs is the last axis of "
            f"x {x.shape}, not {gate_up.shape} and {down.shape}"
        )
