"""At home beside NumPy and other libraries: nothing leaves the record silently, and memory is shared where it can be."""

import copy

import numpy as np
import pytest

from scratchgrad import Tensor, from_dlpack, nn
from scratchgrad import functional as F


def test_numpy_reads_a_tensor_without_copying():
    x = Tensor(np.arange(6.0).reshape(2, 3))
    assert np.shares_memory(np.asarray(x), x.data)
    assert np.asarray(x, dtype=np.float32).dtype == np.float32


@pytest.mark.parametrize("left", [np.ones(3), np.float64(1), 1.0])
def test_arithmetic_with_arrays_and_numbers_is_recorded_from_either_side(left):
    x = Tensor(np.ones(3), requires_grad=True)
    for out in (left + x, left - x, left * x, left / x, left**x, left // x, left % x, x + left):
        assert isinstance(out, Tensor)
        assert out.requires_grad
    (np.eye(3) @ x).sum().backward()
    assert x.grad.tolist() == [1, 1, 1]
    assert (left == x).tolist() == [True] * 3
    assert (left <= x).tolist() == [True] * 3


@pytest.mark.parametrize(("call", "words"), [
    (lambda x: np.exp(x), "use scratchgrad.functional.exp"),
    (lambda x: np.sum(x), "use scratchgrad.functional.sum"),
    (lambda x: np.concatenate([x, x]), "use scratchgrad.functional.concatenate"),
    (lambda x: np.arctan2(x, 1.0), "use an op of scratchgrad.functional, or pass tensor.numpy"),
    (lambda x: np.add(x, 1, out=np.ones(3)), "would lose its gradient"),
])  # fmt: skip
def test_other_functions_of_numpy_say_what_to_use(call, words):
    with pytest.raises(TypeError, match=words):
        call(Tensor(np.ones(3), requires_grad=True))


def test_dlpack_both_ways_shares_memory():
    x = Tensor(np.arange(4.0))
    assert np.shares_memory(np.from_dlpack(x), x.data)
    array = np.arange(3.0)
    assert np.shares_memory(from_dlpack(array).data, array)


def test_dlpack_with_pytorch():
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    x = Tensor(np.arange(4.0))
    shared = torch.from_dlpack(x)
    shared[0] = 7
    assert x.data[0] == 7
    assert from_dlpack(shared).tolist() == [7, 1, 2, 3]


def test_a_module_is_copied_with_memory_of_its_own():
    layer = nn.Linear(3, 2)
    twin = copy.deepcopy(layer)
    assert np.array_equal(layer.weight.data, twin.weight.data)
    assert not np.shares_memory(layer.weight.data, twin.weight.data)
    twin(Tensor(np.ones((1, 3), np.float32))).sum().backward()
    assert layer.weight.grad is None
    assert isinstance(twin.weight, nn.Parameter)
    with pytest.raises(RuntimeError, match="'linear' made"):
        copy.deepcopy(layer(Tensor(np.ones((1, 3), np.float32))))


def test_what_a_tensor_says_of_itself():
    x = Tensor(np.ones((2, 2), np.float32), requires_grad=True)
    assert repr(F.exp(x)).endswith("shape=(2, 2), dtype=float32, made by exp)")
    assert repr(x).endswith("dtype=float32, requires_grad=True)")
    assert bool(Tensor(1.0) > 0)
    assert float(Tensor(2.5)) == 2.5
    assert [row.tolist() for row in x] == [[1, 1], [1, 1]]
    assert len({x, x}) == 1


def test_casting():
    x = Tensor(np.ones(2, np.float32), requires_grad=True)
    half = x.astype(np.float16)
    half.sum().backward()
    assert half.dtype == np.float16
    assert x.grad.dtype == np.float32
    assert not x.astype(np.int64).requires_grad
    assert x.to("cpu", np.float64).dtype == np.float64
    (x * 1.0).sum().backward()
    assert x.grad.dtype == np.float64
