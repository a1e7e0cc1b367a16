"""The promotion table of docs/dtypes.md, for every op of the table of cases."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scratchgrad import Tensor, manual_seed
from scratchgrad import functional as F
from scratchgrad.operators import OPS
from tests.op_cases import CASES

HALF, BF16, SINGLE, DOUBLE = np.dtype(np.float16), np.dtype(ml_dtypes.bfloat16), np.dtype("f4"), np.dtype("f8")
FLOATS = {"float16": HALF, "bfloat16": BF16, "float32": SINGLE, "float64": DOUBLE}
WITH_GRADIENTS = [name for name, case in CASES.items() if case.has_gradient]
TOLERANCE = {HALF: 2e-3, BF16: 2e-2}  # a few units in the last place
STEPS = {"floor", "ceil", "round", "sign", "floor_divide", "remainder", "sort", "topk", "topk_routing"}  # they jump


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", WITH_GRADIENTS)
@settings(max_examples=6)
@given(data=st.data(), seed=st.integers(0, 2**32 - 1))
def test_a_float_stays_what_it_is_and_so_does_its_gradient(name, dtype, data, seed):
    case, dtype = CASES[name], FLOATS[dtype]
    shapes, options = data.draw(case.inputs)
    draw = np.random.default_rng(seed).standard_normal
    maps = case.values if isinstance(case.values, tuple) else (case.values,) * len(shapes)
    arrays = [values(np.asarray(draw(s))).astype(dtype) for s, values in zip(shapes, maps, strict=True)]

    def run(dtype: np.dtype) -> tuple[Tensor, list[Tensor]]:
        manual_seed(seed)
        leaves = [Tensor(a.astype(dtype), requires_grad=True) for a in arrays]
        out = case.call(*leaves, **options)
        out.backward(np.ones(out.shape, out.dtype))
        return out, leaves

    out, leaves = run(dtype)
    assert out.dtype == dtype
    assert all(leaf.grad.dtype == dtype and leaf.grad.shape == leaf.shape for leaf in leaves)
    if dtype in TOLERANCE and name not in STEPS:
        exact, exact_leaves = run(SINGLE)
        pairs = [(out.data, exact.data), *((a.grad, b.grad) for a, b in zip(leaves, exact_leaves, strict=True))]
        for got, wanted in pairs:
            scale = max(1.0, float(np.abs(wanted).max(initial=0)))
            np.testing.assert_allclose(got.astype(SINGLE) / scale, wanted / scale, atol=3 * TOLERANCE[dtype], rtol=0)


BESIDE = {
    "an int64 tensor": Tensor(np.array([1, 2, 3])),
    "an int64 array": np.array([1, 2, 3]),
    "a bool tensor": Tensor(np.array([True, True, True])),
    "a tensor without axes": Tensor(np.asarray(2.0)),
    "an array without axes": np.asarray(2.0),
    "a NumPy float": np.float64(2),
    "a NumPy integer": np.int64(2),
    "a Python float": 2.0,
    "a Python integer": 2,
    "True": True,
}
PAIRS = ["add", "sub", "mul", "div", "pow", "maximum", "minimum", "floor_divide", "remainder"]


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize("other", BESIDE)
@pytest.mark.parametrize("dtype", FLOATS)
def test_a_float_stays_what_it_is_beside_integers_and_numbers(name, other, dtype):
    x = Tensor(np.array([1.5, 2.5, 3.5]).astype(FLOATS[dtype]), requires_grad=True)
    for pair in [(x, BESIDE[other]), (BESIDE[other], x)]:
        out = OPS[name](*pair)
        assert out.dtype == FLOATS[dtype]
        x.grad = None
        out.sum().backward()
        assert x.grad.dtype == FLOATS[dtype]
    seen = np.array([True, False, True])
    assert F.where(seen, x, BESIDE[other]).dtype == F.where(seen, BESIDE[other], x).dtype == FLOATS[dtype]


@pytest.mark.parametrize(("one", "other", "result"), [
    ("float16", "bfloat16", "float32"), ("float16", "float32", "float32"), ("bfloat16", "float32", "float32"),
    ("float16", "float64", "float64"), ("bfloat16", "float64", "float64"), ("float32", "float64", "float64"),
])  # fmt: skip
def test_two_floats_meet_in_the_smallest_that_holds_both(one, other, result):
    a, b = Tensor(np.ones((2, 2)).astype(FLOATS[one]), True), Tensor(np.ones((2, 2)).astype(FLOATS[other]), True)
    for call in (F.add, F.matmul, F.maximum, F.linear, lambda a, b: F.concatenate(a, b), lambda a, b: F.where(a > 0, a, b),
                 lambda a, b: F.einsum("ij,jk->ik", a, b), lambda a, b: F.stack(a, b), F.mse_loss):  # fmt: skip
        for pair in [(a, b), (b, a)]:
            out = call(*pair)
            assert out.dtype == FLOATS[result]
            out.sum().backward()
            assert (a.grad.dtype, b.grad.dtype) == (a.dtype, b.dtype)


OF_FLOATS = [
    "exp", "expm1", "log", "log1p", "sqrt", "rsqrt", "sin", "cos", "erf", "sigmoid", "tanh", "silu", "gelu", "softplus",
    "softmax", "log_softmax", "logsumexp", "mean", "var", "std", "norm",
]  # fmt: skip


@pytest.mark.parametrize("name", OF_FLOATS)
@pytest.mark.parametrize("dtype", [np.int64, np.int8, np.uint8])
def test_integers_become_float32_where_the_result_is_none(name, dtype):
    whole = np.array([1, 2, 3, 7])
    out = getattr(F, name)(Tensor(whole.astype(dtype)))
    assert out.dtype == SINGLE
    np.testing.assert_allclose(out.data, getattr(F, name)(Tensor(whole.astype(DOUBLE))).data, rtol=1e-5)
    assert getattr(F, name)(Tensor(whole > 0)).dtype == SINGLE


def test_integers_and_numbers_among_themselves():
    whole, seen = Tensor(np.array([1, 2])), np.array([True, False])
    assert (whole + whole).dtype == (whole * 2).dtype == whole.sum().dtype == np.int64
    assert (whole / 2).dtype == (whole * 0.5).dtype == (whole * np.float64(0.5)).dtype == SINGLE
    assert F.where(seen, 1.0, 0.0).dtype == SINGLE
    assert F.where(seen, 1, 0).dtype == np.int64
    assert F.exp(1.0).dtype == SINGLE
    assert F.astype(Tensor(np.ones(2, np.float32)), dtype=np.float64).dtype == DOUBLE
    assert F.cross_entropy(Tensor(np.array([[1, 2]])), np.array([1])).dtype == SINGLE
    assert (whole * Tensor(np.asarray(0.5))).dtype == DOUBLE  # a tensor without axes is a tensor where no float has any


def test_half_precision_is_summed_and_normalised_in_single():
    x = Tensor(np.full((2, 4096), 300, np.float16), True)
    np.testing.assert_allclose(F.rms_norm(x, np.ones(4096, np.float16)).data, 1, rtol=1e-3)
    np.testing.assert_allclose(F.layer_norm(x * Tensor(np.float16([[1], [-1]])), np.ones(4096, np.float16)).data, 0)
    assert F.mean(x).item() == 300
    bias = Tensor(np.ones(1).astype(BF16), True)
    (Tensor(np.zeros((5000, 1)).astype(BF16)) + bias).sum().backward()
    assert bias.grad[0] == np.asarray(5000).astype(BF16)
    table = Tensor(np.zeros((2, 1)).astype(BF16), True)
    F.embedding(table, np.zeros(5000, int)).sum().backward()
    assert table.grad[0, 0] == np.asarray(5000).astype(BF16)
