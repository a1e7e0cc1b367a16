"""Initial weights: what a parameter begins as depends on the seed, its name, and where an element stands in it."""

import copy

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scratchgrad import manual_seed, nn


class Block(nn.Module):
    def __init__(self, width):
        self.up, self.down = nn.Linear(width, 2 * width, std=0.5), nn.Linear(2 * width, width, bias=False, std=0.1)
        self.norm = nn.LayerNorm(width)


class Stack(nn.Module):
    def __init__(self, count, width=6):
        self.embed = nn.Embedding(9, width, std=1.0)
        self.layers = [Block(width) for _ in range(count)]
        self.head = nn.Linear(width, 9, bias=False)
        self.head.weight = self.embed.weight  # tied
        self.given = nn.Parameter(np.arange(3.0, dtype=np.float32))


def built(count, seed=1):
    manual_seed(seed)
    with nn.shapes_only():
        stack = Stack(count)
    stack.reset_parameters()
    return stack


def test_a_layer_that_is_built_alone_begins_as_in_the_whole_stack():
    whole = built(5)
    with nn.shapes_only():
        stage = [Block(6), Block(6)]
    for number, layer in zip((3, 4), stage, strict=True):
        layer.reset_parameters(f"layers.{number}")
        for name, parameter in layer.named_parameters():
            assert np.array_equal(parameter.data, whole.state_dict()[f"layers.{number}.{name}"]), name
    assert not np.array_equal(whole.layers[3].up.weight.data, whole.layers[4].up.weight.data)


def test_more_layers_or_another_order_change_nothing_and_another_seed_does():
    one, other = built(2).state_dict(), built(3).state_dict()
    assert all(np.array_equal(array, other[name]) for name, array in one.items())
    assert not np.array_equal(one["layers.0.up.weight"], built(2, seed=2).state_dict()["layers.0.up.weight"])


def test_norms_and_biases_begin_as_constants_and_given_data_stays():
    stack = built(1)
    assert stack.given.tolist() == [0, 1, 2]
    assert set(stack.layers[0].norm.weight.tolist()) == {1.0}
    assert set(stack.layers[0].norm.bias.tolist()) == set(stack.layers[0].up.bias.tolist()) == {0.0}
    assert stack.head.weight is stack.embed.weight


@given(st.integers(0, 40), st.integers(0, 40), st.integers(0, 7), st.integers(0, 7))
def test_some_rows_and_columns_of_a_weight_are_those_of_the_whole(row, other_row, column, other_column):
    rows, columns = (slice(*sorted(pair)) for pair in ((row, other_row), (column, other_column)))
    for initializer in (nn.Normal(0.3), nn.Normal(((12, 0.01), (28, 2.0))), nn.Constant(4), nn.Uniform(0.5)):
        whole = initializer.draw((40, 7), name="w")[rows, columns]
        offset = (rows.start, columns.start)
        part = initializer.draw(whole.shape, name="w", global_shape=(40, 7), offset=offset)
        assert part.dtype == np.float32
        assert np.array_equal(part, whole)


def test_blocks_of_rows_have_a_deviation_each():
    drawn, plain = nn.Normal(((100, 0.5), (300, 2.0))).draw((400, 8), name="w"), nn.Normal(1.0).draw((400, 8), name="w")
    assert np.array_equal(drawn[:100], plain[:100] * np.float32(0.5))
    assert np.array_equal(drawn[100:], plain[100:] * np.float32(2))
    with pytest.raises(ValueError, match=r"is for 400 rows, and the parameter has 401"):
        nn.Linear(8, 401, std=((100, 0.5), (300, 2.0)))


def test_a_layer_outside_of_a_model_has_values_at_once_in_the_order_of_the_program():
    manual_seed(5)
    first, second = nn.Linear(3, 4), nn.Linear(3, 4)
    assert not np.array_equal(first.weight.data, second.weight.data)
    manual_seed(5)
    assert np.array_equal(nn.Linear(3, 4).weight.data, first.weight.data)


def test_shapes_alone_take_no_memory_and_are_not_drawn():
    with nn.shapes_only():
        layer = nn.Linear(2**24, 2**24)
        layer.reset_parameters()
    assert layer.weight.shape == (2**24, 2**24)
    assert not any(layer.weight.data.strides)


def test_a_copy_can_be_drawn_anew():
    layer = nn.Linear(3, 4)
    twin = copy.deepcopy(layer)
    assert np.array_equal(twin.weight.data, layer.weight.data)
    for one in (layer, twin):
        one.reset_parameters("here")
    assert np.array_equal(twin.weight.data, layer.weight.data)
    assert twin.weight is not layer.weight
