"""Containers, activations and attention as modules: PyTorch's names, starts and numbers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scratchgrad import Tensor, manual_seed, nn, optim
from scratchgrad import functional as F
from scratchgrad.files import map_tensors, write_tensors

A = np.random.default_rng(0).standard_normal((3, 4)).astype(np.float32)


def classifier() -> nn.Sequential:
    return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Sequential(nn.Linear(8, 2, bias=False), nn.Tanh()))


def test_a_sequence_calls_its_modules_in_turn_and_names_them_as_pytorch_does():
    net, x = classifier(), Tensor(A)
    assert list(net.state_dict()) == ["0.weight", "0.bias", "2.0.weight"]
    assert np.array_equal(net(x).data, F.tanh(net[2][0](F.relu(net[0](x)))).data)
    assert (len(net), len(net[1:])) == (3, 2)
    assert isinstance(net[:1], nn.Sequential)
    assert net[-1] is list(net)[2]
    assert "(1): ReLU()" in repr(net)


def test_a_list_of_modules_grows_and_is_named_by_its_attribute():
    class Net(nn.Module):
        def __init__(self):
            self.layers = nn.ModuleList([nn.Linear(2, 2, bias=False)])
            self.layers.append(nn.Linear(2, 2, bias=False))
            self.layers.extend(nn.Linear(2, 2, bias=False) for _ in range(10))

    net = Net()
    assert list(net.state_dict()) == [f"layers.{i}.weight" for i in range(12)]
    assert [layer is net.layers[i] for i, layer in enumerate(net.layers)] == [True] * 12
    assert isinstance(net.layers[2:4], nn.ModuleList)
    with pytest.raises(TypeError, match="ModuleList holds modules, and was given a function"):
        net.layers.append(lambda x: x)


@pytest.mark.parametrize(("module", "function"), [
    (nn.ReLU(), F.relu), (nn.GELU(), F.gelu), (nn.GELU("tanh"), lambda x: F.gelu(x, approximate="tanh")), (nn.SiLU(), F.silu),
    (nn.Tanh(), F.tanh), (nn.Sigmoid(), F.sigmoid), (nn.Softmax(dim=0), lambda x: F.softmax(x, axis=0)),
    (nn.Flatten(0), lambda x: x.reshape(12)), (nn.Flatten(), lambda x: x),
])  # fmt: skip
def test_activations_are_their_functions(module, function):
    assert np.array_equal(module(Tensor(A)).data, function(Tensor(A)).data)


def test_state_that_does_not_fit_is_refused_or_told():
    one, other = classifier(), classifier()
    state = {"0.weight": Tensor(one[0].weight.data), "stray": np.zeros(1)}
    with pytest.raises(ValueError, match=r"'0.bias' is missing; '2.0.weight' is missing; 'stray' is not a parameter"):
        other.load_state_dict(state)
    told = other.load_state_dict(state, strict=False)
    assert told.missing_keys == ["0.bias", "2.0.weight"]
    assert told.unexpected_keys == ["stray"]
    assert np.array_equal(other[0].weight.data, one[0].weight.data)
    assert isinstance(other[0].weight.data, np.ndarray)
    with pytest.raises(ValueError, match=r"'0.weight' has shape \(4, 8\) where \(8, 4\) is needed"):
        other.load_state_dict({"0.weight": np.zeros((4, 8))}, strict=False)


def test_a_module_of_ones_own_goes_into_a_file_and_comes_back(tmp_path):
    one, other = classifier(), classifier()
    write_tensors(tmp_path / "net.safetensors", one.state_dict())
    other.load_state_dict(map_tensors(tmp_path / "net.safetensors"))
    assert np.array_equal(one(Tensor(A)).data, other(Tensor(A)).data)


@given(st.integers(1, 300), st.integers(1, 40), st.integers(0, 2**32 - 1))
def test_layers_begin_as_pytorchs(inputs, outputs, seed):
    manual_seed(seed)
    layer, bound = nn.Linear(inputs, outputs), 1 / np.sqrt(inputs)
    both = np.concatenate([layer.weight.data.ravel(), layer.bias.data])
    assert both.dtype == np.float32
    assert np.abs(both).max() <= np.float32(bound)
    count = both.size
    assert abs(both.mean()) < 6 * bound / np.sqrt(3 * count)
    assert abs((both**2).mean() / bound**2 - 1 / 3) < 6 * 0.3 / np.sqrt(count)


def test_an_embedding_begins_with_deviation_one_and_std_is_what_models_say():
    manual_seed(0)
    assert nn.Embedding(200, 100).weight.data.std() == pytest.approx(1, rel=0.02)
    layer = nn.Linear(100, 200, std=0.5)
    assert layer.weight.data.std() == pytest.approx(0.5, rel=0.02)
    assert not layer.bias.data.any()


def test_a_relu_network_of_five_layers_learns():
    manual_seed(0)
    x = np.random.default_rng(0).standard_normal((64, 10)).astype(np.float32)
    wanted = (x[:, 0] * x[:, 1] > 0).astype(int)
    layers = [nn.Linear(10, 32), nn.ReLU()]
    for _ in range(3):
        layers += [nn.Linear(32, 32), nn.ReLU()]
    net = nn.Sequential(*layers, nn.Linear(32, 2))
    optimizer = optim.Adam(net.parameters(), 3e-3)
    for _ in range(200):
        loss = F.cross_entropy(net(Tensor(x)), wanted)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    assert loss.item() < 0.01


def test_heads_must_divide_the_width():
    with pytest.raises(ValueError, match="3 heads do not divide embed_dim 8"):
        nn.MultiheadAttention(8, 3)


HIDDEN = np.array([[False, False, True], [True, False, False]])
MASKS = {
    "none": {}, "padding": {"key_padding_mask": HIDDEN}, "booleans": {"attn_mask": np.triu(np.ones((4, 3), bool), 1)},
    "numbers": {"attn_mask": np.random.default_rng(1).standard_normal((4, 3)).astype(np.float32)},
    "by head": {"attn_mask": np.random.default_rng(1).standard_normal((4, 4, 3)) > 1},
    "both": {"attn_mask": np.triu(np.ones((4, 3), bool), 2), "key_padding_mask": HIDDEN[:, ::-1].copy()},
}  # fmt: skip


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("mask", MASKS)
def test_attention_has_pytorchs_numbers_and_takes_its_weights(mask, bias, batch_first):
    torch = pytest.importorskip("torch", reason="torch is not installed")
    peer = torch.nn.MultiheadAttention(8, 2, bias=bias, batch_first=batch_first)
    ours = nn.MultiheadAttention(8, 2, bias=bias, batch_first=batch_first)
    ours.load_state_dict({name: p.detach().numpy() for name, p in peer.named_parameters()})
    draw = np.random.default_rng(0).standard_normal
    arrays = [draw((2, time, 8)).astype(np.float32) for time in (4, 3, 3)]
    if not batch_first:
        arrays = [x.swapaxes(0, 1) for x in arrays]
    named = {name: torch.tensor(m) for name, m in MASKS[mask].items()}
    for options in ({"need_weights": False}, {}, {"average_attn_weights": False}):
        out, weights = ours(*map(Tensor, arrays), **MASKS[mask], **options)
        theirs, their_weights = peer(*map(torch.tensor, arrays), **named, **options)
        wanted = theirs.detach().numpy()
        seen = np.isfinite(wanted)  # where nothing is seen, PyTorch's are NaN and ours zeros
        np.testing.assert_allclose(out.data[seen], wanted[seen], atol=1e-5)
        if options.get("need_weights") is False:
            assert weights is None
            continue
        by_peer = their_weights.detach().numpy()
        assert weights.shape == by_peer.shape
        np.testing.assert_allclose(weights.data[np.isfinite(by_peer)], by_peer[np.isfinite(by_peer)], atol=1e-6)
        assert not weights.data[np.isnan(by_peer)].any() or options == {}  # a mean over heads, of which one sees some
        for module in (ours, peer):
            module.zero_grad()
        ((out * out).sum() + (weights * weights).sum()).backward()
        if seen.all():
            ((theirs * theirs).sum() + (their_weights * their_weights).sum()).backward()
            for name, parameter in ours.named_parameters():
                gradient = dict(peer.named_parameters())[name].grad.numpy()
                np.testing.assert_allclose(parameter.grad, gradient, atol=1e-4, err_msg=name)


def test_the_weights_of_attention_are_those_that_dropout_left():
    attention, x = nn.MultiheadAttention(8, 2, dropout=0.5), Tensor(np.ones((6, 1, 8), np.float32))
    _, weights = attention(x, x, x, average_attn_weights=False, is_causal=True)
    kept = weights.data[0, 0, 5]
    np.testing.assert_allclose(kept[kept > 0], 2 / 6, rtol=1e-6)
    assert not np.triu(weights.data[0, 0], 1).any()
    _, whole = attention.eval()(x, x, x)
    np.testing.assert_allclose(whole.data, 1 / 6, rtol=1e-6)
