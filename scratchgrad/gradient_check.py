"""Is a backward pass right? Ask the difference quotient."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import numpy as np

from scratchgrad.autograd import no_grad
from scratchgrad.op_contract import BrokenOp, read_only, watched_ops
from scratchgrad.tensor import Tensor

Floats = np.ndarray[Any, Any]
FULL_JACOBIAN = 4096  # elements of input times elements of output: checked entry by entry up to here


class GradcheckError(AssertionError):
    """An analytic gradient that differs from the numeric one."""


@dataclass(frozen=True)
class Disagreement:
    """Where a backward pass and the difference quotients part: by direction of one input."""

    position: int
    direction: Floats
    analytic: float
    numeric: float
    left: float  # the slopes from either side, which part at a kink
    right: float


def gradcheck(
    f: Callable[..., Tensor],
    *inputs: Tensor | Sequence[Tensor],
    eps: float = 1e-6,
    rtol: float = 1e-5,
    atol: float = 1e-6,
    seed: int = 0,
    fast_mode: bool = False,
) -> bool:
    """Compare f's backward with central differences; True, or a GradcheckError that shows where they disagree most.

    f: a function of tensors that returns one tensor, the same on every call. inputs: tensors, one by one or as one
    tuple; those that require grad are checked and must be float64. Three random, uneven gradients of the output are
    sent back, and each is compared along a random direction of each input; small inputs are also compared element by
    element, unless in `fast_mode`. Before it fails, a disagreement is measured again with the fourth-order rule
    (Richardson), which forgives a strong curvature but not a wrong gradient. The message says so at a kink.

    Also a GradcheckError: an op that writes into its arrays, or whose backward writes into what it is given or kept,
    or does not return one gradient for each array. TypeError or ValueError where there is nothing to check.
    """
    __tracebackhide__ = True
    given = tuple(inputs[0]) if len(inputs) == 1 and isinstance(inputs[0], tuple | list) else inputs
    tensors = _checkable(given)
    draw = np.random.default_rng(seed).standard_normal
    problem = None
    try:
        with watched_ops():
            out = f(*(Tensor(read_only(t.data), t.requires_grad) for t in tensors))
        if not isinstance(out, Tensor):
            raise TypeError(
                f"gradcheck: f returned a {type(out).__name__}, and it returns one tensor; of several check each: "
                "lambda x: f(x)[0]"
            )
        jacobian = None if fast_mode else cache(partial(_jacobian, f, tensors, eps))
        for _ in range(3):
            problem = problem or _disagreement(f, tensors, out, draw, eps, rtol, atol, jacobian)
    except BrokenOp as broken:
        problem = str(broken)
    if problem:
        raise GradcheckError(problem)  # from here: pytest leaves out this frame, and none below is in the traceback
    return True


def _checkable(inputs: Sequence[Any]) -> tuple[Tensor, ...]:
    for position, tensor in enumerate(inputs):
        if not isinstance(tensor, Tensor):
            raise TypeError(
                f"gradcheck takes tensors, and input {position} is a {type(tensor).__name__}: pass Tensor(x, "
                "requires_grad=True), or fix what is no tensor in f: lambda x: f(x, axis=0)"
            )
        if tensor.requires_grad and tensor.dtype != np.float64:
            raise TypeError(
                f"gradcheck needs float64 inputs; input {position} has dtype {tensor.dtype}, whose rounding is larger "
                "than the differences: pass Tensor(x.numpy().astype(np.float64), requires_grad=True)"
            )
    if not any(tensor.requires_grad for tensor in inputs):
        raise ValueError(
            "gradcheck: none of the inputs requires a gradient, so there is nothing to check; "
            "pass Tensor(x, requires_grad=True)"
        )
    return tuple(inputs)


def _disagreement(
    f: Callable[..., Tensor],
    inputs: tuple[Tensor, ...],
    out: Tensor,
    draw: Callable[..., Floats],
    eps: float,
    rtol: float,
    atol: float,
    jacobian: Callable[[int], Floats] | None,
) -> str | None:
    """Where the gradients part most, for one random gradient of the output; None where they agree."""
    cotangent = np.asarray(draw(out.shape))
    found = []
    for position, gradient in _analytic(f, inputs, cotangent).items():
        shape = inputs[position].shape
        compared = []  # (direction, the slope along it by the backward pass, and by central differences)
        direction = np.asarray(draw(shape))
        numeric = _slope(f, inputs, position, direction, cotangent, eps, -eps)
        compared.append((direction, float((gradient * direction).sum()), numeric))
        if jacobian is not None and gradient.size * out.size <= FULL_JACOBIAN:
            slopes = (jacobian(position) * cotangent.reshape(-1)).sum(axis=1)
            far = ~np.isclose(gradient.reshape(-1), slopes, rtol=rtol, atol=atol)
            compared += [(_unit(shape, int(i)), float(gradient.flat[i]), float(slopes[i])) for i in np.flatnonzero(far)]
        for direction, got, numeric in compared:
            slope = partial(_slope, f, inputs, position, direction, cotangent)
            if not np.isclose(got, numeric, rtol=rtol, atol=atol):
                numeric = (4 * slope(100 * eps, -100 * eps) - slope(200 * eps, -200 * eps)) / 3
            if not np.isclose(got, numeric, rtol=rtol, atol=atol):
                found.append(Disagreement(position, direction, got, numeric, slope(0, -eps), slope(eps, 0)))
    if not found:
        return None
    elements = [one for one in found if np.count_nonzero(one.direction) == 1]
    return _message(out, max(elements or found, key=lambda one: abs(one.analytic - one.numeric)))


def _analytic(f: Callable[..., Tensor], inputs: tuple[Tensor, ...], cotangent: Floats) -> dict[int, Floats]:
    """The gradient of (f * cotangent).sum() by the backward pass, for every input that requires one."""
    leaves = [Tensor(read_only(t.data), requires_grad=t.requires_grad) for t in inputs]
    with watched_ops():
        out = f(*leaves)
        if out.requires_grad:
            out.backward(cotangent.astype(out.dtype))
    wanted = {position: leaf for position, leaf in enumerate(leaves) if leaf.requires_grad}
    return {position: np.zeros(leaf.shape) if leaf.grad is None else leaf.grad for position, leaf in wanted.items()}


def _slope(
    f: Callable[..., Tensor],
    inputs: tuple[Tensor, ...],
    position: int,
    direction: Floats,
    cotangent: Floats,
    ahead: float,
    behind: float,
) -> float:
    """The difference quotient of (f * cotangent).sum() between two points along `direction` of one input."""
    return float((_difference(f, inputs, position, direction, ahead, behind) * cotangent).sum() / (ahead - behind))


def _difference(
    f: Callable[..., Tensor],
    inputs: tuple[Tensor, ...],
    position: int,
    direction: Floats,
    ahead: float,
    behind: float,
) -> Floats:
    """f at one point along `direction` of one input, less f at another."""
    ends = []
    for step in (ahead, behind):
        moved = list(inputs)
        moved[position] = Tensor(np.asarray(inputs[position].data + step * direction))
        with no_grad():
            ends.append(f(*moved).data)
    return np.asarray(ends[0] - ends[1])


def _jacobian(f: Callable[..., Tensor], inputs: tuple[Tensor, ...], eps: float, position: int) -> Floats:
    """The difference quotients of f along each element of one input, a row each: they serve every cotangent."""
    shape = inputs[position].shape
    rows = [
        _difference(f, inputs, position, _unit(shape, i), eps, -eps).reshape(-1) / (2 * eps)
        for i in range(math.prod(shape))
    ]
    return np.stack(rows) if rows else np.zeros((0, 1))


def _unit(shape: tuple[int, ...], element: int) -> Floats:
    direction = np.zeros(shape)
    direction.flat[element] = 1
    return direction


def _message(out: Tensor, worst: Disagreement) -> str:
    made = out.node.name if out.node is not None else "f"
    changed, shape = np.argwhere(worst.direction), worst.direction.shape
    where = f"element {tuple(changed[0].tolist())}" if len(changed) == 1 else "a random direction"
    text = (
        f"{made}: the gradient of input {worst.position} (shape {shape}) along {where} is {worst.analytic:.9g} by the "
        f"backward pass and {worst.numeric:.9g} by difference quotients "
        f"(they differ by {abs(worst.analytic - worst.numeric):.3g})"
    )
    if not np.isclose(worst.left, worst.right, rtol=1e-3, atol=1e-3):
        text += f"; there is a kink here, of slopes {worst.left:.6g} and {worst.right:.6g}: check at another point"
    return text
