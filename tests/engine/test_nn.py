"""Modules: how parameters are found, named, saved and shown."""

import numpy as np
import pytest

from scratchgrad import Tensor, nn, recompute
from scratchgrad import functional as F
from scratchgrad.random import RngState, fork_rng


class Net(nn.Module):
    def __init__(self):
        self.embed = nn.Embedding(7, 4)
        self.blocks = [nn.Linear(4, 4, bias=False) for _ in range(3)]
        self.heads = {"a": nn.Linear(4, 2), "b": nn.RMSNorm(4)}
        self.tied = self.embed.weight
        self.rest = nn.Dropout(0.5)
        self.table = Tensor(np.zeros(3))  # not a Parameter: moves with the module, is not trained or saved

    def forward(self, ids):
        x = self.embed(ids)
        for block in self.blocks:
            x = block(x)
        return self.heads["a"](self.rest(x))


def test_parameters_are_found_in_attributes_lists_and_dicts_once_each():
    assert [name for name, _ in Net().named_parameters()] == [
        "tied",
        *(f"blocks.{i}.weight" for i in range(3)),
        *(f"heads.{name}" for name in ("a.weight", "a.bias", "b.weight")),
    ]


def test_state_goes_out_and_in_and_all_that_does_not_fit_is_named():
    one, other = Net(), Net()
    other.load_state_dict(one.state_dict())
    assert all(
        np.array_equal(a, b) for a, b in zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    )
    state = one.state_dict()
    del state["heads.a.bias"]
    state["stray"] = np.zeros(1)
    state["tied"] = np.zeros((7, 5))
    with pytest.raises(
        ValueError, match=r"'heads.a.bias' is missing; 'stray' is not .* 'tied' has shape \(7, 5\) where"
    ):
        other.load_state_dict(state)


def test_training_and_evaluation_reach_every_module():
    net, ids = Net(), Tensor(np.arange(7))
    assert not np.array_equal(net(ids).data, net(ids).data)
    net.eval()
    assert np.array_equal(net(ids).data, net(ids).data)


def test_the_tree_is_printed_with_shapes_and_equal_neighbours_once():
    assert (
        repr(Net())
        == """\
Net(tied=7x4
  (embed): Embedding(weight=7x4)
  (blocks.0-2): 3 x Linear(weight=4x4)
  (heads.a): Linear(weight=2x4, bias=2)
  (heads.b): RMSNorm(weight=4)
  (rest): Dropout(p=0.5)
)"""
    )


def test_layers_are_made_by_pytorchs_names():
    layers = [
        nn.Linear(in_features=3, out_features=4),
        nn.Embedding(num_embeddings=5, embedding_dim=3),
        nn.RMSNorm(normalized_shape=3),
        nn.LayerNorm(normalized_shape=3),
        nn.LayerNorm(3, bias=False),
    ]
    shapes = [{name: p.shape for name, p in layer.named_parameters()} for layer in layers]
    assert shapes == [
        {"weight": (4, 3), "bias": (4,)},
        {"weight": (5, 3)},
        {"weight": (3,)},
        {"weight": (3,), "bias": (3,)},
        {"weight": (3,)},
    ]


@pytest.mark.parametrize("padding_idx", [None, 0, 2, -1])
def test_an_embeddings_row_of_padding_begins_as_zeros_and_gets_no_gradient(padding_idx):
    torch = pytest.importorskip("torch", reason="torch is not installed")
    ours, peer = nn.Embedding(5, 3, padding_idx), torch.nn.Embedding(5, 3, padding_idx)
    assert ours.padding_idx == peer.padding_idx
    assert (~ours.weight.data.any(axis=1)).tolist() == (~peer.weight.detach().numpy().any(axis=1)).tolist()
    ids = np.array([[0, 2, 4, 4], [1, 2, 0, 3]])
    ours(Tensor(ids)).sum().backward()
    peer(torch.tensor(ids)).sum().backward()
    assert ours.weight.grad.tolist() == peer.weight.grad.tolist()


def test_padding_changes_no_other_row_and_has_to_be_one():
    def rows(**options):
        with fork_rng(RngState(7)):
            return nn.Embedding(5, 3, **options).weight.data

    assert np.array_equal(np.delete(rows(padding_idx=3), 3, 0), np.delete(rows(), 3, 0))
    blocks = ((2, 0.1), (3, 0.2))
    assert np.array_equal(rows(std=blocks, padding_idx=1)[[0, 2, 3, 4]], rows(std=blocks)[[0, 2, 3, 4]])
    for row in (5, -6):
        with pytest.raises(ValueError, match=f"padding_idx {row} is none of the 5 rows"):
            nn.Embedding(5, 3, padding_idx=row)


@pytest.mark.parametrize("p", [-0.1, 1.5, float("nan")])
def test_dropout_refuses_what_is_no_probability(p):
    with pytest.raises(ValueError, match=r"Dropout\(p=.*\): p is a probability, from 0 to 1"):
        nn.Dropout(p)


class Dropping(nn.Module):
    def __init__(self, count):
        self.layers = [nn.Dropout(0.4) for _ in range(count)]
        self.again = self.layers[0]

    def forward(self, x, wrap=lambda block, x: block(x)):
        for layer in self.layers:
            x = wrap(lambda h, layer=layer: layer(layer(h)), x)
        return self.again(x)


def named(count, prefix=""):
    module = Dropping(count)
    module.set_qualified_names(prefix)
    return module


ones = np.ones((4, 50), np.float32)


def test_modules_know_their_names_in_the_whole_model():
    module = named(2, "decoder")
    assert [m.qualified_name for _, m in module.named_modules()] == [
        "decoder", "decoder.layers.0", "decoder.layers.1", "decoder.layers.0",
    ]  # fmt: skip
    assert nn.Dropout(0.1).qualified_name is None


def test_dropout_is_counted_by_the_modules_name_and_its_calls():
    whole = named(3)
    with fork_rng(RngState(7, step=2, microbatch=1)):
        masks = [layer(Tensor(ones)).data for layer in (*whole.layers, *whole.layers)]
    assert len({mask.tobytes() for mask in masks}) == 6
    with fork_rng(RngState(7, step=2, microbatch=1)):
        F.dropout(Tensor(ones), p=0.5)
        alone = named(3).layers[2]
        assert np.array_equal(alone(Tensor(ones)).data, masks[2])
        assert np.array_equal(alone(Tensor(ones)).data, masks[5])
    for other in (RngState(8, 2, 1), RngState(7, 3, 1), RngState(7, 2, 0)):
        with fork_rng(other):
            assert not np.array_equal(named(3).layers[2](Tensor(ones)).data, masks[2])


def test_dropout_of_a_part_is_that_of_the_whole():
    layer = named(1).layers[0]
    with fork_rng(RngState(7)):
        whole = layer(Tensor(ones)).data
    with fork_rng(RngState(7)):
        part = layer(Tensor(ones[1:3, 25:]), global_shape=ones.shape, offset=(1, 25)).data
    assert np.array_equal(part, whole[1:3, 25:])


def test_recomputed_modules_drop_the_same_elements_each_time_they_are_called():
    found = []
    for wrap in (lambda block, x: block(x), recompute):
        x = Tensor(ones, requires_grad=True)
        with fork_rng(RngState(7)):
            out = named(3)(x, wrap)
            out.backward(ones)
        found.append((out.data.tobytes(), x.grad.tobytes()))
    assert found[0] == found[1]
    assert 0 < np.count_nonzero(out.data) < 0.2 * out.size


def test_dropout_without_a_name_is_counted_in_the_order_of_the_program():
    def mask(before):
        with fork_rng(RngState(7)):
            for _ in range(before):
                F.dropout(Tensor(ones), p=0.5)
            return nn.Dropout(0.4)(Tensor(ones)).data

    assert np.array_equal(mask(1), mask(1))
    assert not np.array_equal(mask(0), mask(1))
