"""save() and load(): states of one's own modules and optimizers, in files that anyone's tool reads."""

import os

import ml_dtypes
import numpy as np
import pytest

import scratchgrad as sg
from scratchgrad import Tensor, UserError, nn, optim
from scratchgrad import functional as F
from scratchgrad.files import write_tensors


def net() -> nn.Sequential:
    return nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))


def steps(model, optimizer, count):
    x = Tensor(np.random.default_rng(0).standard_normal((8, 3), np.float32))
    for _ in range(count):
        loss = F.cross_entropy(model(x), np.arange(8) % 2)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    return loss.item()


def test_training_goes_on_from_a_checkpoint_as_if_nothing_had_happened(tmp_path):
    model = net()
    optimizer = optim.AdamW(model.parameters(), 1e-2)
    steps(model, optimizer, 3)
    sg.save({"model": model.state_dict(), "optimizer": optimizer.state_dict(), "step": 3}, tmp_path / "c.safetensors")
    wanted = steps(model, optimizer, 3)
    other = net()
    again = optim.AdamW(other.parameters(), 1e-2)
    state = sg.load(str(tmp_path / "c.safetensors"))
    other.load_state_dict(state["model"])
    again.load_state_dict(state["optimizer"])
    assert state["step"] == 3
    assert steps(other, again, 3) == wanted


def test_a_state_dict_is_a_file_as_others_write_it(tmp_path):
    safetensors = pytest.importorskip("safetensors.numpy", reason="safetensors is not installed")
    model = net()
    sg.save(model.state_dict(), tmp_path / "net")
    theirs = safetensors.load_file(tmp_path / "net")
    assert {name: a.tolist() for name, a in theirs.items()} == {
        name: a.tolist() for name, a in model.state_dict().items()
    }
    safetensors.save_file({"a": np.arange(3)}, tmp_path / "theirs")
    assert sg.load(tmp_path / "theirs")["a"].tolist() == [0, 1, 2]


def test_values_come_back_as_they_were(tmp_path):
    state = {
        "text": "a\nb", "none": None, "yes": True, "n": 2**70, "x": 0.1, "inf": float("-inf"), "list": [1, [2.5, "c"]],
        "": {}, "a.b": {"c": np.arange(3), "array": {"value": 1}}, "dict": {"dict": []},
    }  # fmt: skip
    sg.save({**state, "nan": float("nan")}, tmp_path / "s")
    found = sg.load(tmp_path / "s")
    assert np.isnan(found.pop("nan"))
    assert found["a.b"].pop("c").tolist() == state["a.b"].pop("c").tolist()
    assert found == state
    assert list(found) == list(state)


def test_arrays_come_back_with_their_dtype_and_may_be_changed(tmp_path):
    kinds = (np.float64, np.float16, ml_dtypes.bfloat16, np.int8, np.bool_)
    arrays = {np.dtype(k).name: np.ones((2, 3), k).T for k in kinds} | {
        "number": np.float32(2),
        "none": np.zeros((0, 3)),
    }
    sg.save({"list": [arrays], "tensor": Tensor([1.5], requires_grad=True)}, tmp_path / "s")
    found = sg.load(tmp_path / "s")
    assert found["tensor"].tolist() == [1.5]
    for name, array in arrays.items():
        again = found["list"][0][name]
        assert (again.dtype, again.shape) == (array.dtype, array.shape), name
        assert np.array_equal(again, array)
    found["tensor"] += 1
    assert sg.load(tmp_path / "s")["tensor"].tolist() == [1.5]


@pytest.mark.parametrize(("state", "error", "words"), [
    ({"net": net()}, TypeError, "'net' is a Sequential; .* give its state_dict"),
    ({"a": {"b": [object()]}}, TypeError, "'a.b.0' is a object"),
    ({"a": np.array(["x"])}, TypeError, "'a' is an array of <U1"),
    ({"a": {1: 2}}, TypeError, "'a' has the key 1; keys are texts"),
    ({"a": {"b": np.ones(1)}, "a.b": np.ones(1)}, ValueError, "two arrays would have the name 'a.b'"),
    (net(), TypeError, "'the state' is a Sequential"),
])  # fmt: skip
def test_what_a_file_cannot_hold_is_named_and_leaves_the_file_as_it_was(tmp_path, state, error, words):
    sg.save({"a": 1}, tmp_path / "s")
    with pytest.raises(error, match=words):
        sg.save(state, tmp_path / "s")
    assert sg.load(tmp_path / "s") == {"a": 1}
    assert os.listdir(tmp_path) == ["s"]


def test_a_state_that_holds_itself(tmp_path):
    state = {}
    state["again"] = state
    with pytest.raises(ValueError, match="more than 100 levels deep"):
        sg.save(state, tmp_path / "s")


@pytest.mark.parametrize("tree", [
    "x", "[]", "{}", '{"dict": 1}', '{"array": "b"}', '{"list": [{}]}', '{"value": 1}', '{"dict": {"a": {"array": []}}}',
    "[" * 10**5, '{"float": "x"}', '{"other": 1}',
])  # fmt: skip
def test_a_damaged_tree_is_one_sentence(tmp_path, tree):
    write_tensors(tmp_path / "s", {"a": np.ones(2)}, {"scratchgrad.tree": tree})
    with pytest.raises(UserError, match=r"does not tell how its arrays hang together|holds a int where a dict"):
        sg.load(tmp_path / "s")
    with pytest.raises(UserError, match=r"'.*nowhere' cannot be read: No such file"):
        sg.load(tmp_path / "nowhere")
