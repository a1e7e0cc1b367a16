"""In-place operators: the same object, the right gradient, or an error; what a backward pass kept is not changed unseen."""

import operator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scratchgrad import Tensor, detect_anomaly, nn, no_grad, optim, recompute
from scratchgrad import functional as F

OPERATORS = {
    operator.iadd: operator.add, operator.isub: operator.sub, operator.imul: operator.mul,
    operator.itruediv: operator.truediv, operator.ifloordiv: operator.floordiv, operator.imod: operator.mod,
    operator.ipow: operator.pow,
}  # fmt: skip
operators = pytest.mark.parametrize("change", OPERATORS, ids=lambda change: change.__name__)


def leaf(*values: float) -> Tensor:
    return Tensor(np.array(values, np.float64), True)


@operators
def test_under_no_grad_the_memory_is_changed_and_the_object_stays(change):
    layer = nn.Linear(2, 3)
    weight, array, before = layer.weight, layer.weight.data, layer.weight.data.copy()
    with no_grad():
        layer.weight = change(layer.weight, np.float32(2))  # what `layer.weight += 2` does
        for parameter in layer.parameters():
            parameter += 0
    assert layer.weight is weight
    assert weight.data is array
    assert [name for name, _ in layer.named_parameters()] == ["weight", "bias"]
    np.testing.assert_array_equal(array, OPERATORS[change](before, np.float32(2)))


def test_gradient_descent_as_everyone_writes_it_descends():
    w = Tensor([3.0], True)
    for _ in range(50):
        ((w - 1) ** 2).sum().backward()
        with no_grad():
            w -= 0.1 * w.grad
        w.grad = None
    assert w.item() == pytest.approx(1, abs=1e-3)


@operators
def test_a_leaf_that_requires_grad_is_refused_where_gradients_are_recorded(change):
    x = leaf(1, 2)
    with pytest.raises(RuntimeError, match=r"a leaf that requires grad: write it under no_grad\(\)") as caught:
        change(x, 2.0)
    assert len(str(caught.value)) < 300
    assert x.data.tolist() == [1, 2]


@operators
@given(seed=st.integers(0, 2**32 - 1), other_has_gradient=st.booleans())
def test_what_is_recorded_has_the_gradient_of_the_operator(change, seed, other_has_gradient):
    draw = np.random.default_rng(seed).uniform
    a, b = draw(1, 3, (2, 3)), draw(1, 3, 3)
    found = []
    for way in (change, OPERATORS[change]):
        x, y = Tensor(a.copy(), True), Tensor(b.copy(), other_has_gradient)
        h = x * 1.5
        alias, kept = h, h * h
        h = way(h, y)
        assert (h is alias) == (way is change)
        (h * h + kept).sum().backward()
        found.append((h.data, x.grad, y.grad if other_has_gradient else 0))
    for ours, wanted in zip(*found, strict=True):
        np.testing.assert_array_equal(ours, wanted)


def test_a_sum_that_begins_as_a_constant_gets_a_gradient():
    x, total = leaf(1, 2, 3), Tensor(np.zeros(()))
    for part in x:
        total += part * part
    total.backward()
    assert x.grad.tolist() == [2, 4, 6]


def test_elements_written_in_a_loop_have_their_gradients():
    w, out = leaf(1, 2, 3), Tensor(np.zeros(3))
    for i in range(3):
        out[i] = w[i] * 2
    (out * np.array([1.0, 10.0, 100.0])).sum().backward()
    assert out.data.tolist() == [2, 4, 6]
    assert w.grad.tolist() == [2, 20, 200]


@pytest.mark.parametrize(("change", "error", "words"), [
    (lambda: operator.iadd(Tensor(np.zeros((2, 3)))[0], leaf(1, 2, 3)), RuntimeError, "x is a view of another array"),
    (lambda: operator.iadd((leaf(1, 2) * 2)[:1], 1.0), RuntimeError, "x is a view of another array"),
    (lambda: operator.setitem(Tensor(np.zeros((2, 3)))[0], 1, leaf(1)[0]), RuntimeError, "x is a view of another array"),
    (lambda: operator.iadd(Tensor(0), leaf(1)[0]), TypeError, "int64 cannot hold the result"),
    (lambda: operator.iadd(leaf(1) * 2, leaf(1, 2)), TypeError, r"x \(1,\) float64 cannot hold the result \(2,\)"),
    (lambda: operator.iadd(Tensor([1.0, 2.0]), np.ones(3, np.float32)), ValueError, "axis 0 is 2 in x and 3 in y"),
    (lambda: operator.iadd(Tensor([1]), 0.5), TypeError, "in place, add"),
    (lambda: operator.setitem(Tensor([1.0]), 5, 1), IndexError, "in place, setitem.*out of bounds"),
])  # fmt: skip
def test_what_cannot_be_done_in_place_is_said_in_a_sentence(change, error, words):
    with pytest.raises(error, match=words) as caught:
        change()
    assert len(str(caught.value)) < 300


def test_a_dtype_is_kept():
    x = Tensor([1.0, 2.0], True)
    h = x * 1
    h += leaf(1, 2)
    assert h.dtype == np.float32
    with no_grad():
        x -= np.ones(2)
    assert x.dtype == np.float32


# What a backward pass kept


def through_elements(t: Tensor) -> None:
    t[...] = 100


def through_data(t: Tensor) -> None:
    t.data -= 1


def through_a_view(t: Tensor) -> None:
    view = t.detach()[:1]
    view += 1


def by_an_optimizer(t: Tensor) -> None:
    t.grad = np.ones(t.shape)
    optim.SGD([t], lr=0.1).step()


CHANGES = [through_elements, through_data, through_a_view, by_an_optimizer]


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_of_what_backward_needs_is_noticed(change):
    x, w = leaf(1, 2), leaf(3, 4)
    out = (w * x).sum()
    with no_grad():
        change(x)
    with pytest.raises(
        RuntimeError, match=r"backward of 'mul': an array of shape \(2,\) that it kept was changed in"
    ) as e:
        out.backward()
    assert len(str(e.value)) < 300


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_of_what_backward_does_not_need_is_none_of_its_business(change):
    constant, w, other, summed = Tensor(np.array([1.0, 2.0])), leaf(3, 4), leaf(5, 6), leaf(7, 8)
    out = (w * constant).sum() + (summed + 1).sum()
    with no_grad():
        for tensor in (w, other, summed):  # the product keeps w, but only for a gradient that nobody asks for
            change(tensor)
    w.grad = summed.grad = None
    out.backward()
    assert w.grad.tolist() == [1, 2]
    (w * w).sum().backward()  # a graph that is newer than the change


def test_results_that_are_kept_are_watched_too():
    x = leaf(1, 2)
    y = F.exp(x)
    with no_grad():
        y += 1
    with pytest.raises(RuntimeError, match="backward of 'exp'"):
        y.sum().backward()


def test_a_block_that_is_run_again_notices_that_its_input_changed():
    x, w = Tensor(np.array([1.0, 2.0])), leaf(3, 4)
    out = recompute(lambda x: (w * x).sum(), x)
    x += 1
    with pytest.raises(RuntimeError, match="backward of 'recompute': an array"):
        out.backward()


def test_another_array_in_its_place_is_no_change():
    x, w = leaf(1, 2), leaf(3, 4)
    out = (w * x).sum()
    w.data = np.zeros(2)
    x.to("cpu")
    out.backward()
    assert x.grad.tolist() == [3, 4]


def test_writes_past_the_tensor_are_seen_by_anomaly_mode_only():
    for watched in (False, True):
        x, w = leaf(1, 2), leaf(3, 4)
        if watched:
            with detect_anomaly():
                out = (w * x).sum()
                x.data[...] = 100
                with pytest.raises(RuntimeError, match="was changed in place"):
                    out.backward()
        else:
            out = (w * x).sum()
            x.data[...] = 100
            out.backward()


def test_nothing_is_kept_of_arrays_that_are_gone():
    from scratchgrad.versions import _changes

    before = len(_changes)
    for _ in range(10):
        t = Tensor(np.zeros(3))
        t += 1
    assert len(_changes) == before + 1
    del t
    assert len(_changes) == before
