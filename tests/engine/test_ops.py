"""Every op of the table: its values against NumPy, its gradients against difference quotients, on any memory layout."""

from __future__ import annotations

import weakref

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scratchgrad import Tensor, functional, gradcheck, manual_seed
from scratchgrad.operators import OPS
from scratchgrad.testing import LAYOUTS, laid_out
from tests.op_cases import CASES, Case


def test_the_table_and_the_registry_and_the_functional_face_name_the_same_ops():
    assert set(CASES) == set(functional.__all__)
    of_the_table = {name for name, op in OPS.items() if op.__module__.startswith("scratchgrad.ops.")}
    assert of_the_table <= set(CASES)


@pytest.mark.parametrize("name", CASES)
@settings(max_examples=60)
@given(data=st.data(), seed=st.integers(0, 2**32 - 1), layout=st.sampled_from(LAYOUTS))
def test_op(name, data, seed, layout):
    check_op(CASES[name], data, seed, layout)


def check_op(case: Case, data: st.DataObject, seed: int, layout: str) -> None:
    """Everything that holds for every op. The mutation check calls it, too."""
    shapes, options = data.draw(case.inputs)
    layout = "C" if layout == "broadcast" and case.distinct else layout
    draw = np.random.default_rng(seed).standard_normal
    maps = case.values if isinstance(case.values, tuple) else (case.values,) * len(shapes)
    arrays = [laid_out(values(np.asarray(draw(s))), layout) for s, values in zip(shapes, maps, strict=True)]
    before = [array.copy() for array in arrays]

    def call(*tensors: Tensor) -> Tensor:
        manual_seed(seed)  # dropout draws the same elements each time
        return case.call(*tensors, **options)

    # values, in float64 and float32
    out = call(*(Tensor(a) for a in arrays))
    expected = None if case.reference is None else case.reference(*before, **options)
    if expected is not None:
        expected = np.asarray(expected)
        assert out.shape == expected.shape
        np.testing.assert_allclose(out.data, expected, rtol=1e-9, atol=1e-11)
    narrow = [a.astype(np.float32) for a in arrays]
    single = call(*map(Tensor, narrow))
    np.testing.assert_allclose(single.data, out.data, rtol=2e-3, atol=1e-4)
    leaves = [Tensor(a, requires_grad=True) for a in arrays]
    if not case.has_gradient:
        assert not call(*leaves).requires_grad
        return
    assert single.dtype == np.float32

    # gradients against difference quotients
    gradcheck(call, *leaves, seed=seed, rtol=1e-4, atol=1e-5)

    # shapes and dtypes of gradients; two passes, and two uses in one pass, add up
    cotangent = np.asarray(draw(out.shape))
    kept = cotangent.copy()
    call(*leaves).backward(cotangent)
    once = [leaf.grad for leaf in leaves]
    for leaf, array in zip(leaves, arrays, strict=True):
        assert leaf.grad.shape == array.shape
        assert leaf.grad.dtype == array.dtype
        leaf.grad = leaf.grad.copy()
    call(*leaves).backward(cotangent)
    for leaf, first in zip(leaves, once, strict=True):
        np.testing.assert_allclose(leaf.grad, 2 * first, rtol=1e-12)
        leaf.grad = None
    (call(*leaves) + call(*leaves)).backward(cotangent)
    for leaf, first in zip(leaves, once, strict=True):
        np.testing.assert_allclose(leaf.grad, 2 * first, rtol=1e-12)

    # single precision: the gradients agree, and a double cotangent does not widen them
    singles = [Tensor(a, requires_grad=True) for a in narrow]
    call(*singles).backward(cotangent)
    for leaf, first in zip(singles, once, strict=True):
        assert leaf.grad.dtype == np.float32
        scale = max(1, np.abs(first).max(initial=0))
        np.testing.assert_allclose(leaf.grad / scale, first / scale, rtol=5e-3, atol=1e-3)

    # frozen inputs have no gradient, and the others' do not change: where one is frozen, and where one alone is not
    numbers = range(len(arrays))
    asked = {frozenset(numbers) - {one} for one in numbers} | (
        {frozenset({one}) for one in numbers} if len(arrays) > 2 else set()
    )
    for wanted in asked:
        some = [Tensor(a, requires_grad=i in wanted) for i, a in enumerate(arrays)]
        partly = call(*some)
        if partly.requires_grad:
            partly.backward(cotangent)
        for i, (leaf, first) in enumerate(zip(some, once, strict=True)):
            assert (leaf.grad is None) == (i not in wanted)
            assert i not in wanted or np.array_equal(leaf.grad, first)

    # nothing stays alive, and nobody's array was changed
    result = call(*leaves)
    node, array = result.node, weakref.ref(result.data)
    result.backward(cotangent)
    del result
    assert node.inputs == ()
    assert node.backward is None
    assert array() is None or any(array() is given for given in arrays)
    assert all(np.array_equal(a, b) for a, b in zip(arrays, before, strict=True))
    assert np.array_equal(cotangent, kept)


def test_integer_tensors_are_refused_a_gradient():
    with pytest.raises(TypeError, match="holds int64"):
        Tensor(np.arange(3), requires_grad=True)


@pytest.mark.parametrize(("call", "words"), [
    (lambda: functional.matmul(np.ones((2, 3)), np.ones((2, 3))), r"matmul\(a \(2, 3\) float64, b \(2, 3\) float64\): the last axis of a"),
    (lambda: functional.linear(np.ones((2, 3)), np.ones((4, 5))), r"linear\(x \(2, 3\) float64, weight \(4, 5\) float64\): the last axes .* must agree"),
    (lambda: Tensor(np.ones(3)) + Tensor(np.ones(4)), r"add\(a \(3,\) float64, b \(4,\) float64\): axis 0 is 3 in a and 4 in b: they must be equal.* \[test_ops.py:\d+: .*Tensor"),
    (lambda: functional.layer_norm(np.ones((2, 3)), np.ones(4)), "axis 1 of x is 3 and axis 0 of weight is 4"),
    (lambda: Tensor(np.ones((2, 3))).sum(axis=2), r"sum\(x \(2, 3\) float64, axis=2.*\): axis 2 is none of the 2 axes"),
    (lambda: functional.repeat(np.ones(3), repeats=2, axis=1), "axis 1 is none of the 1 axes"),
    (lambda: Tensor(np.ones((2, 3))).reshape(4, 2), r"reshape\(x \(2, 3\) float64, shape=\(4, 2\)\): cannot reshape array of size 6"),
    (lambda: functional.concatenate(np.ones((2, 3)), np.ones((2, 4))), r"concatenate\(\[0\] \(2, 3\) float64, \[1\] \(2, 4\) float64\): all"),
    (lambda: functional.pad(np.ones((2, 3)), pad_width=[(1, 1)]), "for 1 axes, and there are 2"),
    (lambda: functional.einsum("ij,jk->ik", Tensor(np.ones((2, 3))), Tensor(np.ones((4, 5)))), "axis 'j' has length 3 in one operand and 4 in another"),
    (lambda: Tensor(np.ones((2, 3)))[5], r"getitem\(x \(2, 3\) float64, index=5\): index 5 is out of bounds"),
    (lambda: functional.embedding(np.ones((3, 2)), np.ones(2)), "ids must be integers, and they are float64: use .astype"),
    (lambda: functional.softmax(np.ones(3), axis=1), r"softmax\(x \(3,\) float64, axis=1\)"),
    (lambda: functional.cross_entropy(np.ones((2, 3)), np.array([1, 5])), r"cross_entropy\(.*\): target 5 is none of the 3 classes \[test_ops"),
    (lambda: functional.mse_loss(np.ones(2), np.ones(3)), "axis 0 is 2 in prediction and 3 in target"),
    (lambda: functional.rotary(np.ones((1, 2, 3, 4)), np.ones((5, 2)), np.ones((5, 2))), r"must have shape \(time, width/2\) = \(3, 2\)"),
    (lambda: functional.swiglu(np.ones((2, 3))), "must be even, and it is 3"),
    (lambda: functional.swiglu_feed_forward(np.ones((3, 2)), np.ones((8, 2)), np.ones((2, 5))), r"must have shape \(2 \* width, inputs\)"),
    (lambda: functional.dropout(np.ones(3), p=1.5), "is a probability, from 0 to 1, and it is 1.5"),
    (lambda: functional.scaled_dot_product_attention(np.ones((1, 3, 2, 4)), *[np.ones((1, 2, 2, 4))] * 2), "the 2 heads"),
    (lambda: functional.linear_cross_entropy(np.ones((1, 2)), np.ones((3, 2)), np.array([3])), r"target 3 is none of the 3 classes"),
    (lambda: functional.nll_loss(np.ones((2, 3)), np.array([1, -1])), "target -1 is none of the 3 classes"),
    (lambda: functional.cross_entropy(np.ones((2, 3)), np.array([1, -1])), "target -1 is none of the 3 classes"),
    (lambda: functional.nll_loss(np.ones((2, 3)), np.array([1.0, 2.0])), "targets must be integers, and they are float64"),
    (lambda: functional.one_hot(np.array([-1]), classes=3), "-1 is none of the 3 classes"),
    (lambda: functional.take(np.ones((2, 3)), np.array([0]), axis=2), "axis 2 is none of the 2 axes"),
    (lambda: functional.take_along_axis(np.ones((2, 3)), np.array([[0]]), axis=5), "axis 5 is none of the 2 axes"),
    (lambda: functional.take_along_axis(np.ones(()), np.array(0), axis=0), "axis 0 is none of the 0 axes"),
    (lambda: functional.index_add(np.ones((2, 3)), np.array([0]), np.ones((1, 3)), axis=-3), "axis -3 is none of the 2 axes"),
    (lambda: functional.scatter_add(np.ones((2, 3)), np.array([[0]]), np.ones((1, 1)), axis=2), "axis 2 is none of the 2 axes"),
    (lambda: functional.scatter_add(np.ones((2, 3)), np.array([0]), np.ones(1), axis=0), "indices must have 2 axes"),
    (lambda: functional.scatter_add(np.ones((2, 3)), np.zeros((3, 1), int), np.ones((3, 1)), axis=1), "axis 0 of indices is 3, longer than the 2"),
    (lambda: functional.split(np.ones((2, 3)), 1, axis=2), "axis 2 is none|axis 2 is out of bounds"),
    (lambda: functional.unfold(np.ones(5), axis=0, size=2, step=-1), "must be 1 or more, and they are 2 and -1"),
    (lambda: functional.unfold(np.ones(5), axis=0, size=0), "must be 1 or more, and they are 0 and 1"),
    (lambda: functional.embedding(np.ones((3, 2)), np.array([-1])), "ids from -1 to -1 in a table of 3 rows"),
])  # fmt: skip
def test_a_mistake_is_named_with_the_op_and_the_shapes(call, words):
    with pytest.raises((ValueError, IndexError, TypeError), match=words):
        call()


def test_a_frozen_input_costs_no_gradient_in_the_fused_loss():
    from scratchgrad.ops.linear_cross_entropy import linear_cross_entropy

    draw = np.random.default_rng(0).standard_normal
    x, w, ids = draw((4, 3)), draw((5, 3)), np.array([0, 1, 2, 3])
    kept = linear_cross_entropy.__wrapped__(x, w, ids, needs_input_grad=(False, True, False, False))[1](np.ones(()))
    assert kept[0] is None
    assert kept[1].shape == w.shape
