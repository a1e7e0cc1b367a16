"""Gradients where they are wanted: grad(), hooks, retain_grad, and anomaly mode."""

import gc
import weakref

import numpy as np
import pytest

from scratchgrad import AnomalyError, Tensor, detect_anomaly, grad, no_grad, op, recompute
from scratchgrad import functional as F
from scratchgrad.operators import OPS

draw = np.random.default_rng(0).standard_normal


def test_grad_is_what_backward_gives_and_touches_no_leaf():
    x, w = Tensor(draw((3, 4)), True), Tensor(draw((4, 2)), True)

    def f():
        h = F.tanh(x @ w)
        return h, (h * h).sum()

    h, out = f()
    by_grad = grad(out, [w, h, x])
    assert x.grad is None
    assert w.grad is None
    h, out = f()
    h.retain_grad()
    out.backward()
    for got, want in zip(by_grad, [w.grad, h.grad, x.grad], strict=True):
        assert np.array_equal(got, want)


def test_grad_of_several_outputs_and_of_what_they_do_not_depend_on():
    x, y, z = (Tensor(draw(3), True) for _ in range(3))
    trunk = x * y
    gx, gz = grad([trunk, F.exp(trunk)], [x, z], [np.ones(3), np.ones(3)])
    np.testing.assert_allclose(gx, y.data + y.data * np.exp(x.data * y.data))
    assert gz is None


def test_grad_computes_nothing_that_does_not_lead_to_its_inputs():
    made = []

    @op
    def spied(a, b):
        return a * b, lambda g: (lambda: made.append("a") or g * b, lambda: made.append("b") or g * a)

    a, b = Tensor(draw(3), True), Tensor(draw(3), True)
    grad(spied(F.exp(a), F.exp(b)), [b], [np.ones(3)])
    del OPS["spied"]
    assert made == ["b"]


def test_grad_through_a_recomputed_block():
    x, w = Tensor(draw((3, 3)), True), Tensor(draw((3, 3)), True)
    plain = grad(F.tanh(x @ w).sum(), [x, w])
    again = grad(recompute(lambda t: F.tanh(t @ w), x).sum(), [x, w])
    assert all(np.array_equal(a, b) for a, b in zip(plain, again, strict=True))


def test_a_hook_hears_the_whole_gradient_once_and_may_replace_it():
    x = Tensor(np.ones(2), True)
    middle = x * 3.0
    heard = []
    middle.register_hook(lambda g: heard.append(g.copy()))
    away = middle.register_hook(lambda g: g * 100)
    away()
    middle.register_hook(lambda g: g * 2)
    (middle * 4.0 + middle).backward(np.ones(2))
    assert [g.tolist() for g in heard] == [[5, 5]]
    assert x.grad.tolist() == [30, 30]


def test_a_hook_on_a_leaf_and_one_of_the_wrong_shape():
    x = Tensor(np.ones(2), True)
    x.register_hook(np.negative)
    (x * 2.0).backward(np.ones(2))
    assert x.grad.tolist() == [-2, -2]
    y = x * 1.0
    y.register_hook(lambda g: g[:1])
    with pytest.raises(ValueError, match=r"a hook on 'mul' gave a gradient of shape \(1,\) where \(2,\)"):
        y.sum().backward()
    with pytest.raises(RuntimeError, match="no gradient reaches"):
        Tensor(np.ones(2)).register_hook(print)


def test_a_backward_that_gives_a_gradient_of_another_shape_is_told_so():
    @op
    def turned(x):
        return x * 1, lambda g: (g.T,)

    x = Tensor(np.ones((2, 3)), True)
    words = r"'turned' gave a gradient of shape \(3, 2\) for argument 0, which has shape \(2, 3\)"
    with pytest.raises(ValueError, match=words):
        turned(x).sum().backward()
    del OPS["turned"]


def test_retain_grad_does_not_keep_the_tensor_alive():
    x = Tensor(np.ones(2), True)
    middle = (x * 2.0).retain_grad()
    out, gone = middle.sum(), weakref.ref(middle)
    gc.disable()
    try:
        del middle
        assert gone() is None
        out.backward()
    finally:
        gc.enable()


def test_anomaly_mode_names_the_op_that_made_the_first_nan_and_the_line_that_called_it():
    x = Tensor(np.array([1.0, -1.0]), True)
    with detect_anomaly(), np.errstate(invalid="ignore"):
        with pytest.raises(AnomalyError, match=r"'sqrt' made the first NaN.* \[test_gradients.py:\d+: F.sqrt\(x\)"):
            F.sqrt(x)
        with pytest.raises(AnomalyError, match="'add' was handed NaN in argument 0"):
            Tensor(np.array([np.nan])) + x


def test_anomaly_mode_finds_a_nan_of_the_backward_pass():
    x = Tensor(np.array([0.0, 1.0]), True)
    with detect_anomaly(), np.errstate(all="ignore"):
        root = F.sqrt(x)
        out = root * 0.0
        with pytest.raises(AnomalyError, match=r"the backward of 'sqrt' made the first NaN.*argument 0.*root = F.sqrt"):
            out.sum().backward()


def test_anomaly_mode_finds_an_array_that_was_changed_in_place():
    for change in (False, True):
        x = Tensor(np.array([2.0, 3.0]), True)
        with detect_anomaly():
            out = (x * x).sum()
            if change:
                x.data += 1
                with pytest.raises(
                    AnomalyError, match=r"that 'mul' keeps for its backward was changed .*out = \(x \* x\)"
                ):
                    out.backward()
            else:
                out.backward()


def test_nothing_is_watched_outside():
    with detect_anomaly():
        pass
    with np.errstate(invalid="ignore"):
        assert np.isnan(F.sqrt(Tensor([-1.0])).data).all()


def test_writing_elements_is_recorded_and_a_leaf_is_written_under_no_grad():
    x = Tensor(np.zeros(3), True)
    with no_grad():
        x[1] = 5.0
    assert x.data.tolist() == [0, 5, 0]
    with pytest.raises(
        RuntimeError, match=r"x\[...\] = y where x is a leaf that requires grad: write it under no_grad"
    ):
        x[0] = 1.0
    y = x * 2.0
    y[0] = 1.0
    y.sum().backward()
    assert (y.data.tolist(), x.grad.tolist()) == ([1, 10, 0], [0, 2, 2])
    constant = Tensor(np.zeros(2))
    constant[:] = Tensor(np.ones(2))
    assert constant.data.tolist() == [1, 1]
