"""Products of vectors, matrices and stacks of them."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from scratchgrad.autograd import Backward
from scratchgrad.backend import Array, array_module, sum_over
from scratchgrad.backward_pass import unbroadcast
from scratchgrad.batch_invariance import is_batch_invariant
from scratchgrad.dispatch import op

if TYPE_CHECKING:
    from scratchgrad.tensor import Tensor

LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"


@op
def matmul(a: Array, b: Array) -> tuple[Array, Backward]:
    """Matrix product over the last two axes; leading axes broadcast. A vector is a row on the left, a column on the
    right, and its axis is not there in the result.

    a (..., n, k); b (..., k, m); returns (..., n, m).
    """
    if a.ndim < 1 or b.ndim < 1:
        raise ValueError("a number has no axis to multiply over: use *")
    if a.shape[-1] != b.shape[-2 if b.ndim > 1 else -1]:
        which = "second to last of b" if b.ndim > 1 else "axis of b"
        raise ValueError(f"the last axis of a ({a.shape[-1]}) and the {which} ({b.shape[max(-2, -b.ndim)]}) must agree")
    left, right = a[None, :] if a.ndim == 1 else a, b[:, None] if b.ndim == 1 else b

    def backward(grad: Array) -> tuple[Callable[[], Array], Callable[[], Array]]:
        grad = grad[..., None] if b.ndim == 1 else grad
        grad = grad[..., None, :] if a.ndim == 1 else grad

        def of_right() -> Array:
            product = left.swapaxes(-1, -2) @ grad
            return product[..., 0] if b.ndim == 1 else product

        return lambda: grad @ right.swapaxes(-1, -2), of_right

    return a @ b, backward


@op(takes="floats")
def linear(x: Array, weight: Array, bias: Array | None = None) -> tuple[Array, Backward]:
    """x @ weight.T + bias, as one product of two matrices however many axes lead.

    x (..., inputs); weight (outputs, inputs); bias (outputs,); returns (..., outputs).
    """
    if x.shape[-1] != weight.shape[1]:
        raise ValueError(f"the last axes of x ({x.shape[-1]}) and of weight ({weight.shape[1]}) must agree")
    shape = x.shape
    rows = as_rows(x)
    out = _times(rows, weight)
    if bias is not None:
        out += bias

    def backward(grad: Array) -> tuple[Callable[[], Array], Callable[[], Array], Array]:
        grad_rows = as_rows(grad)
        return lambda: (grad_rows @ weight).reshape(shape), lambda: grad_rows.T @ rows, grad

    return out.reshape(*shape[:-1], weight.shape[0]), backward


@op
def grouped_linear(x: Array, weight: Array, bias: Array | None = None, *, counts: Array) -> tuple[Array, Backward]:
    """linear() with another weight for each group of rows: the first counts[0] rows meet weight[0], and so on.

    x (rows, inputs), sorted by group; weight (groups, outputs, inputs); bias (groups, outputs); counts (groups,)
    integers that add up to rows, 0 for an empty group; returns (rows, outputs).
    """
    groups = slices_of(counts, x, weight)
    xp = array_module(x)
    out = xp.empty((len(x), weight.shape[1]), x.dtype)
    for g, rows in enumerate(groups):
        out[rows] = _times(x[rows], weight[g])
        if bias is not None:
            out[rows] += bias[g]

    def backward(grad: Array) -> tuple[Callable[[], Array], ...]:
        def of_x() -> Array:
            return xp.concatenate([grad[rows] @ weight[g] for g, rows in enumerate(groups)])

        def of_weight() -> Array:
            return xp.stack([grad[rows].T @ x[rows] for rows in groups])

        return of_x, of_weight, lambda: xp.stack([sum_over(grad[rows], 0) for rows in groups])

    return out, backward


def _times(rows: Array, weight: Array) -> Array:
    """rows @ weight.T; row by row where their number must not show in the bits."""
    if is_batch_invariant() and len(rows) > 1:
        return array_module(rows).concatenate([row @ weight.T for row in rows[:, None]])
    return rows @ weight.T


def slices_of(counts: Array, x: Array, weight: Array) -> list[slice]:
    """The rows of each group; ValueError where x, weight and counts do not fit."""
    ends = counts.cumsum().tolist()
    if len(ends) != len(weight) or ends[-1] != len(x):
        raise ValueError(f"counts name {len(ends)} groups of {ends[-1]} rows, and there are {len(weight)} of {len(x)}")
    if x.shape[1] != weight.shape[2]:
        raise ValueError(f"the last axes of x ({x.shape[1]}) and of weight ({weight.shape[2]}) must agree")
    return [slice(start, end) for start, end in zip([0, *ends], ends, strict=False)]


def as_rows(x: Array) -> Array:
    """(..., width) as a matrix (rows, width), also where there is nothing in it and -1 could be any number."""
    return x.reshape(math.prod(x.shape[:-1]), x.shape[-1])


def outer(a: Tensor, b: Tensor) -> Tensor:
    """a[i] * b[j] for two vectors: (n,) and (m,) give (n, m)."""
    return einsum("i,j->ij", a, b)


def einsum(subscripts: str, *operands: Tensor) -> Tensor:
    """Einstein's sum: a letter names an axis, letters that are not in the result are summed over.

    einsum("bqd,bkd->bqk", query, key). `...` stands for axes without a name; a letter that one operand has twice takes
    its diagonal. Without `->`, the result has the letters that occur once, in alphabetical order.
    """
    return contract(*operands, letters=_spelt_out(subscripts, [operand.ndim for operand in operands]))


@op
def contract(*operands: Array, letters: tuple[str, ...]) -> tuple[Array, Backward]:
    """einsum with one word of letters for each operand, and the result's word last."""
    xp, *inputs, output = array_module(operands[0]), *letters
    lengths: dict[str, int] = {}
    for word, operand in zip(inputs, operands, strict=True):
        for letter, length in zip(word, operand.shape, strict=True):
            known = lengths.get(letter, 1)
            if length != known and 1 not in (length, known):
                raise ValueError(f"axis '{letter}' has length {known} in one operand and {length} in another")
            lengths[letter] = length if known == 1 else known

    def backward(grad: Array) -> list[Callable[[], Array]]:
        return [partial(of_operand, grad, position) for position in range(len(inputs))]

    def of_operand(grad: Array, position: int) -> Array:
        word = inputs[position]
        rest = [(w, a) for i, (w, a) in enumerate(zip(inputs, operands, strict=True)) if i != position]
        once = "".join(dict.fromkeys(word))
        known = "".join(letter for letter in once if letter in output or any(letter in w for w, _ in rest))
        equation = ",".join([output, *(w for w, _ in rest)]) + "->" + known
        gradient = xp.einsum(equation, grad, *(a for _, a in rest))
        made = dict(zip(known, gradient.shape, strict=True))
        gradient = gradient.reshape([made.get(letter, 1) for letter in once])
        gradient = xp.broadcast_to(gradient, [lengths[letter] for letter in once])
        if once == word:
            return gradient  # the engine sums where this operand was stretched
        own = dict(zip(word, operands[position].shape, strict=True))
        gradient = unbroadcast(gradient, tuple(own[letter] for letter in once))
        out = xp.zeros(operands[position].shape, gradient.dtype)
        xp.einsum(f"{word}->{once}", out)[...] = gradient  # a view of the diagonal
        return out

    return xp.asarray(xp.einsum(",".join(inputs) + "->" + output, *operands)), backward


def _spelt_out(subscripts: str, ndims: list[int]) -> tuple[str, ...]:
    """One word for each operand and one for the result, also where that was left out; with letters for `...`."""
    left, arrow, output = subscripts.replace(" ", "").partition("->")
    words = left.split(",")
    if len(words) != len(ndims):
        raise ValueError(f"einsum('{subscripts}'): there are {len(words)} words for {len(ndims)} operands")
    unnamed = [ndim - len(word.replace("...", "")) for word, ndim in zip(words, ndims, strict=True)]
    for word, ndim, rest in zip(words, ndims, unnamed, strict=True):
        if rest < 0 or (rest and "..." not in word):
            raise ValueError(f"einsum('{subscripts}'): '{word}' names {ndim - rest} axes of an operand that has {ndim}")
    free = [letter for letter in LETTERS if letter not in subscripts]
    most = max(unnamed, default=0)
    shared = "".join(free[:most])
    spelt = [word.replace("...", shared[most - rest :]) for word, rest in zip(words, unnamed, strict=True)]
    if not arrow:
        named = "".join(words).replace(".", "")
        output = "..." * ("..." in left) + "".join(sorted(letter for letter in set(named) if named.count(letter) == 1))
    return (*spelt, output.replace("...", shared))
