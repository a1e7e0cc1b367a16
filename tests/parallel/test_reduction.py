"""One fixed tree of sums: whoever adds which part, the bits are the same."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scratchgrad.parallel import Communicator, ReductionTree, TreeSum, split_ranges, tree_sum


def numbers(count, seed):
    """Arrays of very different sizes, so that another order of adding gives other bits."""
    rng = np.random.default_rng(seed)
    return [(rng.standard_normal(50) * 10.0 ** rng.integers(-6, 6, 50)).astype(np.float32) for _ in range(count)]


def bracketed(leaves, size):
    """The tree as it is defined: halves of a power of two, with nothing where leaves are missing."""
    if size == 1 or not leaves:
        return leaves[0] if leaves else None
    left, right = bracketed(leaves[: size // 2], size // 2), bracketed(leaves[size // 2 :], size // 2)
    return left if right is None else left + right


def by_ranks(leaves, ranks):
    """What each rank adds up by itself, then the joins."""
    tree, subtotals = ReductionTree(len(leaves), ranks), []
    for rank in range(ranks):
        own = TreeSum(tree.leaves_of(rank).start)
        for number in tree.leaves_of(rank):
            own.add([leaves[number][:3].copy(), leaves[number][3:].reshape(-1, 47).copy()])
        subtotals.append([np.concatenate([part.reshape(-1) for part in sums]) for sums in own.subtotals()])
        assert len(subtotals[-1]) == len(tree.subtrees_of(rank))
    return tree.join(subtotals)


@given(st.integers(1, 33), st.integers(0, 2**32 - 1), st.data())
def test_any_number_of_ranks_gets_the_bits_of_the_tree(count, seed, data):
    leaves = numbers(count, seed)
    ranks = data.draw(st.integers(1, count))
    wanted = bracketed(leaves, 64).tobytes()
    assert tree_sum(leaves).tobytes() == wanted
    assert by_ranks(leaves, ranks).tobytes() == wanted
    assert all(np.array_equal(now, before) for now, before in zip(leaves, numbers(count, seed), strict=True))


@given(st.integers(1, 200), st.data())
def test_a_rank_holds_whole_subtrees_that_no_sum_of_its_own_could_join(count, data):
    tree = ReductionTree(count, data.draw(st.integers(1, min(count, 40))))
    runs = [tree.leaves_of(rank) for rank in range(tree.ranks)]
    assert [leaf for run in runs for leaf in run] == list(range(count))
    assert max(map(len, runs)) - min(map(len, runs)) <= 1
    for rank, run in enumerate(runs):
        subtrees = tree.subtrees_of(rank)
        assert [leaf for subtree in subtrees for leaf in subtree] == list(run)
        for subtree in subtrees:
            assert len(subtree) & (len(subtree) - 1) == 0
            assert subtree.start % len(subtree) == 0
        for left, right in pairwise(subtrees):
            assert len(left) != len(right) or left.start % (2 * len(left)) != 0


def test_powers_of_two_have_one_subtree_each():
    for ranks in (1, 2, 4, 8, 16):
        tree = ReductionTree(16, ranks)
        assert all(len(tree.subtrees_of(rank)) == 1 for rank in range(ranks))


def test_a_running_sum_would_give_other_bits():
    leaves = numbers(8, 0)
    assert sum(leaves[1:], leaves[0]).tobytes() != by_ranks(leaves, 1).tobytes()


def test_the_sum_of_a_world_of_one_is_its_own():
    leaves, tree = numbers(5, 0), ReductionTree(5, 1)
    own = TreeSum()
    for leaf in leaves:
        own.add([leaf.copy()])
    subtotals = [sums[0] for sums in own.subtotals()]
    assert [len(subtree) for subtree in tree.subtrees_of(0)] == [4, 1]
    assert np.array_equal(tree.all_reduce(subtotals, Communicator()), tree_sum(leaves))


@given(st.integers(0, 50), st.integers(1, 9))
def test_ranges_are_split_as_numpy_splits_arrays(length, parts):
    wanted = [part.tolist() for part in np.array_split(np.arange(length), parts)]
    assert [list(part) for part in split_ranges(length, parts)] == wanted


@pytest.mark.parametrize(("call", "words"), [
    (lambda: ReductionTree(2, 3), "2 leaves for 3 ranks: every rank needs one"),
    (lambda: ReductionTree(2, 0), "2 leaves for 0 ranks"),
    (lambda: tree_sum([]), "no values"),
    (lambda: TreeSum().total(), "first leaves are missing"),
    (lambda: ReductionTree(3, 1).reduce_scatter([np.ones(3)], Communicator()), "1 subtotals of 2 subtrees"),
])  # fmt: skip
def test_mistakes(call, words):
    with pytest.raises(ValueError, match=words):
        call()


def test_a_part_of_the_leaves_has_no_total():
    own = TreeSum(first=2)
    own.add([np.ones(3)])
    with pytest.raises(ValueError, match="first leaves are missing"):
        own.total()
