"""One row per op: how to call it, on which shapes, with which values. A test holds this table against the registry."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from scratchgrad import Tensor, functional

Shapes = tuple[tuple[int, ...], ...]
Draw = Callable[..., np.ndarray]  # of shape -> normal values

same_shape = hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4).map(lambda shape: (shape,))
two_broadcast = hnp.mutually_broadcastable_shapes(num_shapes=2, min_side=0, max_side=4, max_dims=3).map(
    lambda drawn: drawn.input_shapes
)


@dataclass(frozen=True)
class Case:
    """`call` takes the float tensors first, then a NumPy generator for whatever else the op is given.

    `reference` is the same in plain NumPy float64, written without the op's code. `values` maps a normal draw into the
    op's domain, and away from its kinks.
    """

    shapes: st.SearchStrategy[Shapes]
    call: Callable[..., Tensor]
    reference: Callable[..., Any]
    values: Callable[[np.ndarray], np.ndarray] = lambda x: x


def case(name: str, shapes: st.SearchStrategy[Shapes], reference: Callable[..., Any], **rest: Any) -> tuple[str, Case]:
    op = getattr(functional, name)
    return name, Case(shapes, rest.pop("call", lambda *tensors: op(*tensors)), reference, **rest)


def away_from_zero(x: np.ndarray) -> np.ndarray:
    return np.where(x < 0, x - 0.1, x + 0.1)


def positive(x: np.ndarray) -> np.ndarray:
    return np.abs(x) + 0.1


lengths = st.integers(1, 5)
last_even = hnp.array_shapes(min_dims=0, max_dims=2, min_side=1, max_side=3).flatmap(
    lambda lead: st.integers(1, 4).map(lambda half: ((*lead, 2 * half),))
)
normed = hnp.array_shapes(min_dims=1, max_dims=3, min_side=1, max_side=5).map(lambda shape: (shape, shape[-1:]))
products = st.tuples(
    hnp.mutually_broadcastable_shapes(num_shapes=2, min_side=1, max_side=3, max_dims=2), lengths, lengths, lengths
).map(lambda t: ((*t[0].input_shapes[0], t[1], t[2]), (*t[0].input_shapes[1], t[2], t[3])))
linear_shapes = st.tuples(hnp.array_shapes(min_dims=0, max_dims=2, max_side=3), lengths, lengths).map(
    lambda t: ((*t[0], t[1]), (t[2], t[1]), (t[2],))
)
heads = st.tuples(st.integers(1, 2), st.integers(1, 2), st.integers(1, 3), lengths, st.integers(0, 3), lengths).map(
    lambda t: ((t[0], t[1] * t[2], t[3], t[5]), (t[0], t[1], t[3] + t[4], t[5]), (t[0], t[1], t[3] + t[4], t[5]))
)
table = st.tuples(st.integers(1, 6), lengths).map(lambda t: (t,))
losses = st.tuples(hnp.array_shapes(min_dims=1, max_dims=2, max_side=4), lengths, st.integers(2, 6)).map(
    lambda t: ((*t[0], t[1]), (t[2], t[1]))
)
turned = st.tuples(st.integers(1, 2), st.integers(1, 3), lengths, st.integers(1, 3)).map(
    lambda t: ((t[0], t[1], t[2], 2 * t[3]),)
)


def _ids(shape: tuple[int, ...], rng: np.random.Generator, below: int) -> np.ndarray:
    return rng.integers(0, below, shape)


def _softmax(x: np.ndarray) -> np.ndarray:
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def _attention_reference(q: np.ndarray, k: np.ndarray, v: np.ndarray) -> np.ndarray:
    out = np.empty_like(q)
    share, past = q.shape[1] // k.shape[1], k.shape[2] - q.shape[2]
    for b, h, t in np.ndindex(q.shape[:3]):
        seen = slice(0, past + t + 1)
        weights = _softmax(k[b, h // share, seen] @ q[b, h, t] / np.sqrt(q.shape[3]))
        out[b, h, t] = weights @ v[b, h // share, seen]
    return out


def _angles(x: np.ndarray) -> np.ndarray:
    return np.add.outer(np.arange(x.shape[2]), np.linspace(0.3, 1.7, x.shape[3] // 2))


def _rotary_reference(x: np.ndarray) -> np.ndarray:
    half, angle = x.shape[3] // 2, np.exp(1j * _angles(x))
    turned = (x[..., :half] + 1j * x[..., half:]) * angle
    return np.concatenate([np.concatenate([turned.real, turned.imag], -1)[:, :1], x[:, 1:]], 1)


def _targets(x: np.ndarray, vocabulary: int) -> np.ndarray:
    ids = np.arange(x[..., 0].size).reshape(x.shape[:-1]) * 7 % vocabulary
    return np.where(ids == 1, -100, ids)


def _cross_entropy_reference(x: np.ndarray, w: np.ndarray) -> float:
    targets = _targets(x, len(w))
    probabilities = _softmax(x @ w.T).reshape(-1, len(w))
    return sum(-np.log(p[t]) for p, t in zip(probabilities, targets.reshape(-1), strict=True) if t >= 0)


def _sin_cos(x: Tensor) -> tuple[np.ndarray, np.ndarray]:
    return np.cos(_angles(x.data)).astype(x.dtype), np.sin(_angles(x.data)).astype(x.dtype)


CASES = dict([
    case("add", two_broadcast, lambda a, b: a + b),
    case("sub", two_broadcast, lambda a, b: a - b),
    case("mul", two_broadcast, lambda a, b: a * b),
    case("div", two_broadcast, lambda a, b: a / b, values=away_from_zero),
    case("neg", same_shape, lambda x: -x),
    case("pow", same_shape, lambda x: x * x * x, call=lambda x: x**3),
    case("exp", same_shape, np.exp),
    case("log", same_shape, np.log, values=positive),
    case("sqrt", same_shape, np.sqrt, values=positive),
    case("sigmoid", same_shape, lambda x: 1 / (1 + np.exp(-x))),
    case("tanh", same_shape, np.tanh),
    case("relu", same_shape, lambda x: np.where(x > 0, x, 0), values=away_from_zero),
    case("silu", same_shape, lambda x: x / (1 + np.exp(-x))),
    case("swiglu", last_even, lambda x: np.prod(np.split(x, 2, -1), 0) / (1 + np.exp(-np.split(x, 2, -1)[0]))),
    case("matmul", products, lambda a, b: np.einsum("...ij,...jk->...ik", a, b)),
    case("linear", linear_shapes, lambda x, w, b: np.einsum("...i,oi->...o", x, w) + b),
    case("sum", same_shape, lambda x: np.add.reduce(x, axis=None)),
    case("mean", normed.map(lambda shapes: shapes[:1]), lambda x: np.average(x, axis=-1)[..., None],
         call=lambda x: x.mean(axis=-1, keepdims=True)),
    case("reshape", same_shape, np.ravel, call=lambda x: x.reshape(x.size)),
    case("transpose", same_shape, lambda x: np.moveaxis(x, 0, -1) if x.ndim else x,
         call=lambda x: x.transpose(*range(1, x.ndim), 0) if x.ndim else x.transpose()),
    case("getitem", hnp.array_shapes(min_dims=2, max_dims=3, max_side=4).map(lambda shape: (shape,)),
         lambda x: np.stack(list(x[::-1]))[:, 0][None], call=lambda x: x[None, ::-1, 0]),
    case("rms_norm", normed, lambda x, g: g * x / np.sqrt(np.mean(x**2, -1, keepdims=True) + 1e-6)),
    case("embedding", table, lambda w: np.stack([w[i % len(w)] for i in (0, 3, 1, 3, 3)]),
         call=lambda w: functional.embedding(w, np.array([0, 3, 1, 3, 3]) % len(w))),
    case("rotary", turned, _rotary_reference, call=lambda x: functional.rotary(x, *_sin_cos(x), heads=1)),
    case("scaled_dot_product_attention", heads, _attention_reference,
         call=lambda q, k, v: functional.scaled_dot_product_attention(q, k, v, is_causal=True)),
    case("dropout", same_shape, None, call=lambda x: functional.dropout(x, p=0.4)),
    case("linear_cross_entropy", losses, _cross_entropy_reference,
         call=lambda x, w: functional.linear_cross_entropy(x, w, _targets(x.data, len(w)))),
])  # fmt: skip
