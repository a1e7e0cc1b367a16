"""Modules: how parameters are found, named, saved and shown."""

import numpy as np
import pytest

from scratchgrad import Tensor, nn


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
    ]
    shapes = [{name: p.shape for name, p in layer.named_parameters()} for layer in layers]
    assert shapes == [
        {"weight": (4, 3), "bias": (4,)},
        {"weight": (5, 3)},
        {"weight": (3,)},
        {"weight": (3,), "bias": (3,)},
    ]


@pytest.mark.parametrize("p", [-0.1, 1.0, 1.5, float("nan")])
def test_dropout_refuses_what_is_no_probability(p):
    with pytest.raises(ValueError, match=r"Dropout\(p=.*\): p is a probability below 1"):
        nn.Dropout(p)
