"""The first op of one's own: every way to get its form wrong is one sentence that shows how an op is written."""

import subprocess
import sys

import numpy as np
import pytest

from scratchgrad import GradcheckError, Tensor, gradcheck, op
from scratchgrad import functional as F

EXAMPLE = r"return a \* b, lambda grad: \(grad \* b, grad \* a\)"


pytestmark = pytest.mark.usefixtures("no_op_stays_registered")


def leaf(*shape: int) -> Tensor:
    return Tensor(np.arange(1.0, 1 + np.prod(shape)).reshape(shape), True)


FORWARDS = {
    "None": (lambda x: None, "returned None;"),
    "no backward": (lambda x: x * 2, "returned a (ndarray|float64) alone;"),
    "three": (lambda x: (x, None, None), "returned a tuple of 3;"),
    "no value": (lambda x: (None, lambda grad: (grad,)), "returned None for its value;"),
    "a tensor": (lambda x: (Tensor(x) * 2, lambda grad: (grad,)), "returned a Tensor for its value;"),
    "no function": (lambda x: (x * 2, x), "returned a ndarray for its backward;"),
}
BACKWARDS = {
    "None": (lambda grad: None, "returned None;"),
    "no tuple": (lambda grad: grad * 2, "returned a (ndarray|float64);|gradient of shape"),
    "too few": (lambda grad: (), "returned 0 gradients for 1 array;"),
    "one too many": (lambda grad: (grad * 2, None), "returned 2 gradients for 1 array;"),
}


@pytest.mark.parametrize("shape", [(), (1,), (2,), (3, 2), (1, 1)])
@pytest.mark.parametrize("way", FORWARDS)
def test_a_forward_of_another_form_says_so_at_once(way, shape):
    forward, words = FORWARDS[way]
    forward.__name__ = "double"
    double = op(forward)
    with pytest.raises(TypeError, match=f"op 'double' {words}.*{EXAMPLE}") as caught:
        double(leaf(*shape)).sum().backward()
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("shape", [(), (1,), (2,), (3, 2), (1, 1)])
@pytest.mark.parametrize("way", BACKWARDS)
def test_a_backward_of_another_form_says_so_when_it_runs_and_gradcheck_shows_how(way, shape):
    backward, words = BACKWARDS[way]

    @op
    def double(x):
        return x * 2, backward

    with pytest.raises((TypeError, ValueError), match=f"the backward of 'double'.*({words})") as caught:
        double(leaf(*shape)).sum().backward()
    assert len(str(caught.value)) < 300
    with pytest.raises(GradcheckError, match=f"the backward of 'double' ({words}).*{EXAMPLE}"):
        gradcheck(double, leaf(*shape))


def doubled_in_place(x):
    x *= 2
    return x + 0, lambda grad: (grad * 2,)


def gradient_in_place(x):
    def backward(grad):
        grad *= 2
        return (grad,)

    return x * 2, backward


def promised_in_place(x):
    def late(grad):
        grad[...] = grad * 2
        return grad

    return x * 2, lambda grad: (lambda: late(grad),)


def kept_in_place(x):
    def backward(grad):
        np.multiply(x, 2, out=x)
        return (grad * x,)

    return x * x, backward


def result_in_place(x):
    y = x * x
    return y, lambda grad: (np.multiply(grad, 2 * x, out=y),)


@pytest.mark.parametrize("gradient", [Tensor([1.0, 2.0]), [1.0], 2.0])
def test_a_gradient_that_is_no_array_is_named(gradient):
    @op
    def double(x):
        return x * 2, lambda grad: (gradient,)

    words = f"'double' returned a {type(gradient).__name__} for argument 0; a gradient is an array"
    with pytest.raises(TypeError, match=words) as caught:
        double(leaf(2)).sum().backward()
    assert len(str(caught.value)) < 300


def test_a_backward_that_writes_into_what_is_read_only_is_named():
    with pytest.raises(
        ValueError, match=r"the backward of 'gradient_in_place' writes into its gradient.*make a new one"
    ):
        op(gradient_in_place)(leaf(3)).sum().backward()


WRITERS = [doubled_in_place, gradient_in_place, promised_in_place, kept_in_place, result_in_place]


@pytest.mark.parametrize("inside", [False, True], ids=["alone", "between others"])
@pytest.mark.parametrize("forward", WRITERS, ids=lambda forward: forward.__name__)
def test_gradcheck_finds_an_op_that_writes_into_what_it_is_given(forward, inside):
    x = leaf(3)
    before = x.data.copy()
    made = op(forward)
    with pytest.raises(GradcheckError, match=r"writes into .*make a new one") as caught:
        gradcheck((lambda x: F.exp(made(x * 0.1)) + 1) if inside else made, x)
    assert len(str(caught.value)) < 300
    assert np.array_equal(x.data, before)
    assert x.data.flags.writeable


def test_gradcheck_leaves_arrays_as_they_were():
    table = np.ones(3)

    @op
    def constant(x):
        return table, lambda grad: (grad * 0,)

    gradcheck(constant, leaf(3))
    table += 1


def test_inputs_may_stand_in_a_tuple():
    a, b = leaf(2), leaf(2)
    assert gradcheck(F.mul, (a, b))
    assert gradcheck(F.mul, [a, b])
    assert gradcheck(F.exp, (a,))


X = np.ones(2)


@pytest.mark.parametrize(("f", "inputs", "error", "words"), [
    (F.exp, (Tensor(X),), ValueError, "none of the inputs requires a gradient.*requires_grad=True"),
    (F.exp, (), ValueError, "none of the inputs requires a gradient"),
    (F.exp, (Tensor([1.0], True),), TypeError, r"input 0 has dtype float32.*x\.numpy\(\)\.astype\(np\.float64\)"),
    (F.mul, (Tensor(X, True), X), TypeError, r"input 1 is a ndarray: pass Tensor\(x"),
    (F.sum, (Tensor(X, True), 0), TypeError, "input 1 is a int.*lambda x"),
    (lambda x: (x, x), (Tensor(X, True),), TypeError, "f returned a tuple, and it returns one tensor"),
    (lambda x: x.item(), (Tensor(np.ones(1), True),), TypeError, "f returned a float"),
])  # fmt: skip
def test_what_cannot_be_checked_is_refused_in_a_sentence(f, inputs, error, words):
    with pytest.raises(error, match=words) as caught:
        gradcheck(f, *inputs)
    assert len(str(caught.value)) < 300


FAILING = """
import numpy as np
from scratchgrad import Tensor, gradcheck, op

@op
def wrong(x):
    return x * x, {backward}

def test_it():
    gradcheck(wrong, Tensor(np.ones(3), requires_grad=True))
"""


@pytest.mark.parametrize("backward", ["lambda grad: (grad * x,)", "lambda grad: grad"])
def test_a_failure_is_short_in_pytest(tmp_path, backward):
    (tmp_path / "test_wrong.py").write_text(FAILING.format(backward=backward))
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_wrong.py"]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert ran.returncode == 1
    assert "GradcheckError: " in ran.stdout
    assert "gradient_check.py" not in ran.stdout.replace("gradient_check.py:", "", 1)
    assert len(ran.stdout.splitlines()) < 20, ran.stdout


def test_gradcheck_asks_along_an_element_once_for_all_the_gradients_that_it_sends_back():
    calls = []

    def f(x):
        calls.append(x)
        return F.exp(x)

    gradcheck(f, Tensor(np.linspace(-1, 1, 20), True))
    along_elements, along_random_directions, forward = 2 * 20, 2 * 3, 1 + 3
    assert len(calls) == along_elements + along_random_directions + forward
