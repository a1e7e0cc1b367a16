"""Every op of the table: its values against NumPy, its gradients against difference quotients, on any memory layout."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scratchgrad import Tensor, functional, gradcheck, manual_seed
from scratchgrad.tensor import OPS
from tests.op_cases import CASES

LAYOUTS = ("C", "Fortran", "strided", "reversed", "broadcast")


def laid_out(x: np.ndarray, layout: str) -> np.ndarray:
    """The same values in other places of memory (a broadcast array repeats the first entry of its first axis)."""
    if layout == "Fortran":
        return np.asfortranarray(x)
    if layout == "strided" and x.ndim:
        wide = np.repeat(x, 2, axis=-1)
        return wide[..., ::2]
    if layout == "reversed" and x.ndim:
        return np.ascontiguousarray(x[..., ::-1])[..., ::-1]
    if layout == "broadcast" and x.ndim and x.shape[0]:
        return np.broadcast_to(x[:1], x.shape)
    return x


def test_the_table_and_the_registry_and_the_functional_face_name_the_same_ops():
    assert set(CASES) == set(OPS) == set(functional.__all__)


@pytest.mark.parametrize("name", CASES)
@settings(max_examples=25)
@given(data=st.data(), seed=st.integers(0, 2**32 - 1), layout=st.sampled_from(LAYOUTS))
def test_op(name, data, seed, layout):
    case = CASES[name]
    draw = np.random.default_rng(seed).standard_normal
    arrays = [laid_out(case.values(np.asarray(draw(s))), layout) for s in data.draw(case.shapes)]
    before = [array.copy() for array in arrays]

    def call(*tensors: Tensor) -> Tensor:
        manual_seed(seed)  # dropout draws the same elements each time
        return case.call(*tensors)

    # values, in float64 and float32
    out = call(*(Tensor(a) for a in arrays))
    if case.reference is not None:
        np.testing.assert_allclose(out.data, case.reference(*before), rtol=1e-10, atol=1e-12)
    single = call(*(Tensor(a.astype(np.float32)) for a in arrays))
    assert single.dtype == np.float32
    np.testing.assert_allclose(single.data, out.data, rtol=2e-3, atol=1e-4)

    # gradients
    leaves = [Tensor(a, requires_grad=True) for a in arrays]
    gradcheck(call, *leaves, seed=seed, rtol=1e-4, atol=1e-5)
    cotangent = np.asarray(draw(out.shape))
    kept = cotangent.copy()
    call(*leaves).backward(cotangent)
    once = [leaf.grad.copy() for leaf in leaves]
    call(*leaves).backward(cotangent)
    for leaf, array, first in zip(leaves, arrays, once, strict=True):
        assert leaf.grad.shape == array.shape
        assert leaf.grad.dtype == array.dtype
        np.testing.assert_allclose(leaf.grad, 2 * first, rtol=1e-12)  # two passes add up

    # nobody's array was changed
    assert all(np.array_equal(a, b) for a, b in zip(arrays, before, strict=True))
    assert np.array_equal(cotangent, kept)


@pytest.mark.parametrize("name", CASES)
def test_a_single_precision_leaf_has_a_single_precision_gradient(name):
    case = CASES[name]
    shapes = {
        "add": [(2, 3), (3,)], "sub": [(2, 3), (3,)], "mul": [(2, 3), (3,)], "div": [(2, 3), (3,)],
        "matmul": [(2, 3), (3, 4)], "linear": [(2, 3), (4, 3), (4,)], "rms_norm": [(2, 4), (4,)],
        "scaled_dot_product_attention": [(1, 2, 3, 4)] * 3, "linear_cross_entropy": [(3, 4), (5, 4)],
        "rotary": [(1, 2, 3, 4)], "embedding": [(5, 3)],
    }.get(name, [(2, 4)])  # fmt: skip
    draw = np.random.default_rng(0).standard_normal
    leaves = [Tensor(case.values(draw(s)).astype(np.float32), requires_grad=True) for s in shapes]
    out = case.call(*leaves)
    out.backward(np.ones(out.shape))  # a float64 gradient of the output does not widen those of the leaves
    assert {leaf.grad.dtype for leaf in leaves} == {np.dtype(np.float32)}


def test_gradcheck_sees_a_wrong_gradient_and_says_where():
    from scratchgrad import GradcheckError, op

    @op
    def slip(x):
        return x * x, lambda grad: (grad * 2 * x * (1 + 1e-3 * (x > 1)),)

    try:
        with pytest.raises(GradcheckError, match=r"slip: the gradient of input 0 \(shape \(3,\)\) along"):
            gradcheck(OPS["slip"], Tensor(np.array([0.5, 0.2, 3.0]), requires_grad=True))
    finally:
        del OPS["slip"]


def test_integer_tensors_are_refused_a_gradient():
    with pytest.raises(TypeError, match="holds int64"):
        Tensor(np.arange(3), requires_grad=True)


@pytest.mark.parametrize(("call", "words"), [
    (lambda: functional.matmul(np.ones((2, 3)), np.ones((2, 3))), r"matmul\(a \(2, 3\), b \(2, 3\)\): the last axis of a"),
    (lambda: functional.linear(np.ones((2, 3)), np.ones((4, 5))), r"linear\(x \(2, 3\), weight \(4, 5\), .* must agree"),
    (lambda: Tensor(np.ones(3)) + Tensor(np.ones(4)), r"add\(a \(3,\), b \(4,\)\): operands could not be broadcast"),
    (lambda: functional.swiglu(np.ones((2, 3))), "must be even, and it is 3"),
    (lambda: functional.dropout(np.ones(3), p=1.5), "p is a probability below 1, and it is 1.5"),
    (lambda: functional.scaled_dot_product_attention(np.ones((1, 3, 2, 4)), *[np.ones((1, 2, 2, 4))] * 2), "the 2 heads"),
    (lambda: functional.linear_cross_entropy(np.ones((1, 2)), np.ones((3, 2)), np.array([3])), "target 3 is outside"),
    (lambda: functional.embedding(np.ones((3, 2)), np.array([-1])), "ids from -1 to -1 in a table of 3 rows"),
])  # fmt: skip
def test_a_mistake_is_named_with_the_op_and_the_shapes(call, words):
    with pytest.raises((ValueError, IndexError), match=words):
        call()


def test_a_frozen_input_costs_no_gradient_in_the_fused_loss():
    from scratchgrad.ops import loss

    draw = np.random.default_rng(0).standard_normal
    x, w, ids = draw((4, 3)), draw((5, 3)), np.array([0, 1, 2, 3])
    kept = loss.linear_cross_entropy.__wrapped__(x, w, ids, needs_grad=(False, True, False))[1](np.ones(()))
    assert kept[0] is None
    assert kept[1].shape == w.shape
