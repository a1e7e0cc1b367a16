"""Tensors from nothing, and gradcheck with the strategies that users are given."""

import numpy as np
import pytest
from hypothesis import given

import scratchgrad
from scratchgrad import GradcheckError, Tensor, gradcheck, manual_seed, op
from scratchgrad import functional as F
from scratchgrad.operators import OPS
from scratchgrad.testing import broadcastable, tensors


def test_constants():
    assert scratchgrad.zeros(2, 3).tolist() == [[0] * 3] * 2
    assert scratchgrad.ones(2, dtype=np.int64).tolist() == [1, 1]
    assert scratchgrad.full((2,), 1.5, requires_grad=True).requires_grad
    assert scratchgrad.eye(2).tolist() == [[1, 0], [0, 1]]
    assert scratchgrad.arange(3).dtype == np.int64
    assert scratchgrad.arange(0, 1, 0.25).tolist() == [0, 0.25, 0.5, 0.75]
    assert scratchgrad.arange(0, 1, 0.25).dtype == np.float32
    x = Tensor(np.ones((2, 1), np.float16))
    for like, value in (
        (scratchgrad.zeros_like(x), 0),
        (scratchgrad.ones_like(x), 1),
        (scratchgrad.full_like(x, 7), 7),
    ):
        assert like.dtype == np.float16
        assert like.tolist() == [[value], [value]]


def test_random_tensors_begin_anew_with_the_seed():
    draws = []
    for _ in range(2):
        manual_seed(5)
        draws.append([scratchgrad.rand(4).tolist(), scratchgrad.randn(4).tolist(), scratchgrad.rand(4).tolist()])
    assert draws[0] == draws[1]
    assert draws[0][0] != draws[0][2]
    assert abs(scratchgrad.randn(20_000).data.std() - 1) < 0.03


def test_multinomial_draws_in_proportion():
    manual_seed(0)
    drawn = scratchgrad.multinomial(Tensor(np.array([[1.0, 3.0, 0.0], [0.0, 0.0, 2.0]])), 20_000).data
    assert abs((drawn[0] == 1).mean() - 0.75) < 0.02
    assert not (drawn[0] == 2).any()
    assert (drawn[1] == 2).all()
    with pytest.raises(ValueError, match="not all 0"):
        scratchgrad.multinomial(Tensor(np.zeros(3)), 1)


@given(tensors())
def test_a_users_own_function_is_checked_on_any_shape_and_layout(x):
    gradcheck(lambda x: x / (1 + x * x), x)


@given(broadcastable(3))
def test_broadcastable_tensors_fit_together(three):
    a, b, c = three
    gradcheck(lambda a, b, c: a * b + c, a, b, c, fast_mode=True)


@pytest.mark.parametrize(
    ("factor", "element"), [(lambda x: 1 + 1e-3 * (x > 1), r"\(2,\)"), (lambda x: 1 + x / 100, r"\(2,\)")]
)
def test_gradcheck_sees_a_wrong_gradient_and_shows_the_worst_element(factor, element):
    @op
    def slip(x):
        return x * x, lambda grad: (grad * 2 * x * factor(x),)

    try:
        words = rf"slip: the gradient of input 0 \(shape \(3,\)\) along element {element} is .* by difference quotients"
        with pytest.raises(GradcheckError, match=words):
            gradcheck(OPS["slip"], Tensor(np.array([0.5, 0.2, 3.0]), requires_grad=True))
    finally:
        del OPS["slip"]


def test_gradcheck_says_that_a_kink_is_one():
    with pytest.raises(GradcheckError, match="there is a kink here, of slopes"):
        gradcheck(F.relu, Tensor(np.array([0.0]), requires_grad=True))


def test_gradcheck_needs_double_precision():
    with pytest.raises(TypeError, match="input 0 has dtype float32"):
        gradcheck(F.exp, Tensor([1.0], requires_grad=True))


def test_random_tensors_like_others_and_numbers_at_equal_distances():
    half = Tensor(np.zeros((200, 50), np.float16))
    for make, mean, spread in [(scratchgrad.rand_like, 0.5, 12**-0.5), (scratchgrad.randn_like, 0, 1)]:
        scratchgrad.manual_seed(3)
        drawn = make(half)
        assert (drawn.shape, drawn.dtype) == (half.shape, half.dtype)
        values = drawn.data.astype(np.float64)
        assert values.mean() == pytest.approx(mean, abs=0.03)
        assert values.std() == pytest.approx(spread, rel=0.05)
        scratchgrad.manual_seed(3)
        assert np.array_equal(make(half).data, drawn.data)
    yes = scratchgrad.bernoulli(scratchgrad.full((10_000,), 0.3))
    assert yes.dtype == np.float32
    assert set(yes.data.tolist()) == {0, 1}
    assert yes.data.mean() == pytest.approx(0.3, abs=0.02)
    assert scratchgrad.bernoulli(Tensor(np.array([0.0, 1.0]))).data.tolist() == [0, 1]
    dice = scratchgrad.randint(1, 7, (6000,))
    assert dice.dtype == np.int64
    assert np.bincount(dice.data, minlength=7)[1:].min() > 850
    assert scratchgrad.randint(1).item() == 0
    assert scratchgrad.linspace(0, 1, 5).data.tolist() == [0, 0.25, 0.5, 0.75, 1]
    assert scratchgrad.linspace(0, 1, 5).dtype == np.float32
    with pytest.raises(ValueError, match="no integer is 3 or more and below 3"):
        scratchgrad.randint(3, 3)
    with pytest.raises(ValueError, match="probabilities from 0 to 1"):
        scratchgrad.bernoulli(Tensor(np.array([1.5])))
