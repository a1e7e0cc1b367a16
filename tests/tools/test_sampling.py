"""Sampling: what each filter keeps, by its definition, and draws that follow the probabilities and their place alone."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scratchgrad import UserError
from scratchgrad.tools.generation import SamplingParams
from scratchgrad.tools.generation.sampling import (
    log_probabilities,
    probabilities,
    sample_token,
    token_log_prob,
    top_log_probs,
)

GREEDY = SamplingParams(temperature=0)
logits_lists = st.lists(st.floats(-8, 8, width=32), min_size=1, max_size=12).map(lambda x: np.array(x, np.float32))
levels = st.lists(st.sampled_from([0.0, 1.0, 2.0]), min_size=1, max_size=12).map(np.array)  # with many ties
some_logits = logits_lists | levels
temperatures = st.floats(0.05, 2)


def softmax(logits, temperature=1.0):
    scaled = logits.astype(np.float64) / temperature
    weights = np.exp(scaled - scaled.max())
    return weights / weights.sum()


def falling(probabilities):
    """Ids, the likeliest first, of equal ones the lowest."""
    return np.lexsort((np.arange(len(probabilities)), -probabilities))


@given(
    some_logits, temperatures, st.none() | st.integers(1, 14), st.floats(0.01, 1), st.floats(0, 1), st.floats(0.5, 3)
)
def test_probabilities_are_those_of_the_softmax_renormalised_and_never_of_no_token(
    logits, temperature, top_k, top_p, min_p, penalty
):
    params = SamplingParams(temperature, top_k, top_p, min_p, penalty)
    seen, logits = np.arange(len(logits)) % 2 == 0, logits.astype(np.float64)
    ids, kept = probabilities(logits, params, seen)
    assert len(ids) >= 1
    assert (np.diff(ids) > 0).all()
    assert abs(kept.sum() - 1) < 1e-12
    penalised = np.where(seen, np.where(logits < 0, logits * penalty, logits / penalty), logits)
    whole = softmax(penalised, temperature)
    np.testing.assert_allclose(kept, whole[ids] / whole[ids].sum(), rtol=1e-9)
    assert whole[ids].max() == whole.max()


@given(some_logits, temperatures, st.integers(1, 14))
def test_top_k_keeps_the_k_likeliest(logits, temperature, k):
    ids, _ = probabilities(logits, SamplingParams(temperature, top_k=k))
    assert ids.tolist() == sorted(falling(softmax(logits, temperature))[:k])


@given(some_logits, temperatures, st.none() | st.integers(1, 14), st.floats(0.01, 0.999))
def test_top_p_keeps_the_smallest_set_that_reaches_p_of_what_top_k_left(logits, temperature, k, p):
    ids, _ = probabilities(logits, SamplingParams(temperature, k, top_p=p))
    chances = softmax(logits, temperature)
    left = falling(chances)[:k]
    share = chances[left] / chances[left].sum()
    reached = np.cumsum(share)
    count = len(ids)
    assert ids.tolist() == sorted(left[:count]), "the likeliest, with none left out between"
    assert reached[count - 1] >= p - 1e-12
    assert count == 1 or reached[count - 2] < p + 1e-12


@given(some_logits, temperatures, st.floats(0, 1))
def test_min_p_is_relative_to_the_likeliest(logits, temperature, m):
    ids, _ = probabilities(logits, SamplingParams(temperature, min_p=m))
    ratio = softmax(logits, temperature) / softmax(logits, temperature).max()
    clear = abs(ratio - m) > 1e-12
    assert np.isin(np.arange(len(logits)), ids)[clear].tolist() == (ratio >= m)[clear].tolist()


def test_filters_apply_in_their_order():
    logits = np.log([0.4, 0.3, 0.2, 0.1])
    # Of 0.4, 0.3 and 0.2, which top_k leaves, 0.7 is 78 %: enough for top_p = 0.75, which it is not of all.
    assert probabilities(logits, SamplingParams(1, top_k=3, top_p=0.75))[0].tolist() == [0, 1]
    assert probabilities(logits, SamplingParams(1, top_p=0.75))[0].tolist() == [0, 1, 2]
    # A temperature of 2 makes them more alike: 0.1 / 0.4 becomes sqrt(0.25).
    assert probabilities(logits, SamplingParams(2, min_p=0.45))[0].tolist() == [0, 1, 2, 3]
    assert probabilities(logits, SamplingParams(1, min_p=0.45))[0].tolist() == [0, 1, 2]


def test_a_penalty_makes_what_was_written_less_likely_whatever_its_sign():
    seen = np.array([True, True, False])
    logits = np.array([2.0, -1.0, 1.5])
    _, kept = probabilities(logits, SamplingParams(1, repetition_penalty=2), seen)
    np.testing.assert_allclose(kept, softmax(np.array([1.0, -2.0, 1.5])))
    assert sample_token(logits, SamplingParams(0), sample=0, position=0, seen=seen) == 0
    assert sample_token(logits, SamplingParams(0, repetition_penalty=2), sample=0, position=0, seen=seen) == 2, (
        "greedy search is penalised, too"
    )


def test_temperature_zero_takes_the_likeliest_and_of_equal_ones_the_first():
    assert sample_token(np.array([0.0, 3.0, 3.0, -1.0]), GREEDY, sample=0, position=0) == 1
    assert sample_token(np.array([0.0, 3.0, 3.0]), SamplingParams(1.5, top_k=1), sample=0, position=0) == 1
    assert sample_token(np.array([0.0, 3.0, 2.9]), SamplingParams(1e-9), sample=0, position=0) == 1


@given(some_logits)
def test_temperature_zero_is_the_argmax(logits):
    assert sample_token(logits, GREEDY, sample=3, position=5) == logits.argmax()


# The 99.9 % quantile of chi-square with 6 degrees of freedom: seeds are fixed, so that this either holds or does not.
CHI_SQUARE = 22.46


@pytest.mark.parametrize("options", [
    {}, {"temperature": 0.6}, {"temperature": 2.0, "top_k": 7}, {"top_p": 0.97}, {"min_p": 0.03, "seed": 5},
])  # fmt: skip
def test_tokens_are_drawn_as_often_as_their_probability_says(options):
    logits = np.log([0.05, 0.3, 0.02, 0.1, 0.2, 0.005, 0.15, 0.175])
    params, draws = SamplingParams(**options), 4_000
    ids, shares = probabilities(logits, params)
    wanted = np.zeros(len(logits))
    wanted[ids] = shares
    counts = np.bincount(
        [sample_token(logits, params, sample=0, position=position) for position in range(draws)], minlength=len(logits)
    )
    assert not counts[wanted == 0].any()
    expected = draws * wanted[wanted > 0]
    # At most 8 tokens; a rare one joins its neighbour so that there are at most 7 classes.
    order = np.argsort(expected)
    classes = np.array_split(order, [len(order) - 6]) if len(order) > 7 else [order[:1], order[1:]]
    got, want = (
        np.concatenate([[values[classes[0]].sum()], values[classes[1]]]) for values in (counts[wanted > 0], expected)
    )
    assert ((got - want) ** 2 / want).sum() < CHI_SQUARE


def test_a_draw_depends_on_seed_sample_and_position():
    logits, params = np.zeros(1000), SamplingParams(seed=3)
    drawn = {
        (seed, sample, position): sample_token(logits, SamplingParams(seed=seed), sample=sample, position=position)
        for seed in (0, 3) for sample in (0, 1) for position in (4, 5)
    }  # fmt: skip
    assert len(set(drawn.values())) == 8
    assert sample_token(logits, params, sample=1, position=4) == drawn[3, 1, 4]
    assert sample_token(logits + 5, params, sample=1, position=4) == drawn[3, 1, 4], "softmax knows no constant"


@pytest.mark.parametrize(("values", "words"), [
    ({"temperature": 2.1}, "temperature 2.1 is outside 0"), ({"temperature": -0.1}, "outside"),
    ({"temperature": float("nan")}, "outside"), ({"top_k": 0}, "top-k 0"), ({"top_p": 0.0}, "top-p 0"),
    ({"top_p": 1.1}, "top-p 1.1"), ({"min_p": -0.1}, "min-p -0.1"), ({"min_p": 1.1}, "min-p 1.1"),
    ({"repetition_penalty": 0}, "repetition-penalty 0"), ({"repetition_penalty": float("inf")}, "penalty inf"),
    ({"repetition_penalty": float("nan")}, "penalty nan"), ({"seed": -1}, "seed -1"), ({"seed": 2**64}, "seed"),
    ({"max_tokens": 0}, "max-tokens 0"), ({"stop": ("a", "")}, "stop needs a text"), ({"logprobs": -1}, "logprobs -1"),
])  # fmt: skip
def test_values_out_of_range_are_refused(values, words):
    with pytest.raises(UserError, match=words):
        SamplingParams(**values)


def test_a_model_that_gives_nan_is_not_drawn_from():
    for bad in ([np.nan, 1.0], [-np.inf, -np.inf], [np.inf, 0.0]):
        with pytest.raises(UserError, match="not finite"):
            sample_token(np.array(bad), GREEDY, sample=0, position=3)


def test_log_probabilities_are_the_models_own():
    logits = np.array([[1e4, 0.0, 1e4], [1.0, 2.0, 3.0]], np.float32)
    want = np.log([[0.5, np.nan, 0.5], softmax(logits[1])])
    np.testing.assert_allclose(log_probabilities(logits)[:, [0, 2]], want[:, [0, 2]], rtol=1e-12)
    assert log_probabilities(logits)[0, 1] == -1e4 + np.log(0.5)


@given(some_logits, st.integers(0, 14))
def test_the_likeliest_tokens_are_told_in_falling_order(logits, count):
    top = top_log_probs(logits, count)
    assert [token for token, _ in top] == falling(logits)[:count].tolist()
    assert [log_prob for _, log_prob in top] == [token_log_prob(logits, token) for token, _ in top]
    np.testing.assert_allclose(
        [log_prob for _, log_prob in top], log_probabilities(logits)[[t for t, _ in top]], atol=1e-6
    )
