"""A mixture has the shares of its weights, and gives every row of its sources once, in their order, from anywhere on."""

from collections import Counter
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scratchgrad import UserError
from scratchgrad.tools.data import Mixture

WEIGHTS = st.lists(st.decimals("0.1", 5, places=1).map(float), min_size=1, max_size=5)


@given(WEIGHTS, st.integers(0, 2**63 - 1))
def test_a_block_has_exactly_the_shares(weights, seed):
    exact = [Fraction(str(weight)) for weight in weights]
    rows = 2 * int(sum(exact) * 10)
    counts = Counter(Mixture(weights, seed).place(row)[0] for row in range(rows))
    assert [Fraction(counts[i], rows) for i in range(len(weights))] == [weight / sum(exact) for weight in exact]


@given(WEIGHTS, st.integers(0, 2**63 - 1), st.lists(st.integers(0, 500), min_size=1, max_size=20))
def test_each_source_gives_its_rows_one_after_another_whoever_asks_first(weights, seed, asked):
    mixture, resumed = Mixture(weights, seed), Mixture(weights, seed)
    found = {row: resumed.place(row) for row in asked}
    places = [mixture.place(row) for row in range(max(asked) + 1)]
    assert all(places[row] == place for row, place in found.items())
    for source in range(len(weights)):
        numbers = [number for which, number in places if which == source]
        assert numbers == list(range(len(numbers)))


def test_the_order_is_drawn_by_the_seed_and_anew_in_each_block():
    weights, rows = [3, 2, 5], range(1000)
    orders = [[Mixture(weights, seed).place(row)[0] for row in rows] for seed in (1, 1, 2)]
    assert orders[0] == orders[1] != orders[2]
    assert len({tuple(orders[0][start : start + 10]) for start in range(0, 1000, 10)}) > 50


def test_the_unit_of_weights_does_not_matter():
    one, two = Mixture([3, 1], 5), Mixture([0.75, 0.25], 5)
    assert [one.place(row) for row in range(100)] == [two.place(row) for row in range(100)]
    assert [Mixture([7], 0).place(row) for row in range(5)] == [(0, row) for row in range(5)]
    assert Mixture([1e-3, 1], 0).place(10**12)[0] in (0, 1)


@pytest.mark.parametrize("weights", [[], [1, 0], [1, -1], [float("nan")], [float("inf"), 1]])
def test_weights_that_are_none_are_told(weights):
    with pytest.raises(UserError, match="weights of a mixture are numbers above 0, one for each source"):
        Mixture(weights, 0)


def test_weights_of_too_many_digits_are_told():
    with pytest.raises(UserError, match=r"the weights \[0.1234567891, 1\] of a mixture have too many digits"):
        Mixture([0.1234567891, 1], 0)
