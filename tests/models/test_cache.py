"""The key-value cache against a list of arrays for each row, whatever is done to it and in which order."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scratchgrad import Tensor
from scratchgrad.models import KeyValueCache
from scratchgrad.models.cache import BLOCK

LAYERS, HEADS, WIDTH, SOURCE = 2, 2, 3, 5


class Naive:
    """A row: the keys of every layer, token by token, and how many of them were prefilled."""

    def __init__(self, tokens=None, source=None, prefilled=0):
        self.tokens, self.source, self.prefilled = list(tokens or []), source, prefilled


def numbers(rng, *shape):
    return rng.standard_normal(shape).astype(np.float32)


def append(rng, cache, rows, count):
    """`count` new tokens in all layers; values are keys + 1, so that they are told apart."""
    new = numbers(rng, count, LAYERS, len(rows), HEADS, WIDTH)
    for number, layer in enumerate(cache.layers):
        key = new[:, number].transpose(1, 2, 0, 3)
        layer.self_attention.append(Tensor(key), Tensor(key + 1))
    cache.advance(count)
    for row, naive in enumerate(rows):
        naive.tokens += list(new[:, :, row])


def fresh(rng, count, with_source):
    """A cache of one row of `count` prefilled tokens, and what it is."""
    cache, naive = KeyValueCache(LAYERS), Naive()
    if count:
        append(rng, cache, [naive], count)
    cache.prefilled, naive.prefilled = np.array([count]), count
    if with_source:
        naive.source = numbers(rng, LAYERS, HEADS, int(rng.integers(1, SOURCE)), WIDTH)
        cache.set_encoder_lengths([naive.source.shape[2]])
        for layer, key in zip(cache.layers, naive.source, strict=True):
            layer.cross_attention.fill(Tensor(key[None]), Tensor(key[None] + 1))
    return cache, naive


def check(cache, rows):
    assert len(cache) == len(rows)
    assert cache.lengths.tolist() == [len(row.tokens) for row in rows]
    assert cache.prefilled.tolist() == [row.prefilled for row in rows]
    for number, layer in enumerate(cache.layers):
        for index, row in enumerate(rows):
            stored = layer.self_attention
            for place, token in enumerate(row.tokens):
                assert np.array_equal(stored._key[index, :, place], token[number])
                assert np.array_equal(stored._value[index, :, place], token[number] + 1)
            if row.source is not None:
                length = row.source.shape[2]
                assert cache.encoder_lengths[index] == length
                assert np.array_equal(layer.cross_attention._key[index, :, :length], row.source[number])
                assert np.array_equal(layer.cross_attention._value[index, :, :length], row.source[number] + 1)


@given(
    st.integers(0, 2**32),
    st.booleans(),
    st.lists(st.sampled_from(["append", "select", "extend", "extract", "truncate"]), max_size=12),
)
def test_whatever_is_done_to_it_its_rows_are_what_they_should_be(seed, with_source, steps):
    rng = np.random.default_rng(seed)
    cache, first = fresh(rng, int(rng.integers(0, 3)), with_source)
    rows = [first]
    for step in steps:
        if step == "append":
            append(rng, cache, rows, int(rng.integers(1, 4)))
        elif step == "select" and rows:
            chosen = rng.integers(0, len(rows), rng.integers(0, 2 * len(rows) + 1))
            cache.select(chosen)
            rows = [Naive(rows[i].tokens, rows[i].source, rows[i].prefilled) for i in chosen]
        elif step == "extend":
            other, naive = fresh(rng, int(rng.choice([0, 1, 7, BLOCK, BLOCK + 3])), with_source)
            cache.extend(other)
            rows.append(naive)
        elif step == "truncate" and rows:
            lengths = [int(rng.integers(0, len(row.tokens) + 2)) for row in rows]
            cache.truncate(lengths)
            for row, length in zip(rows, lengths, strict=True):
                row.tokens = row.tokens[:length]
                row.prefilled = min(row.prefilled, length)
        elif step == "extract" and rows:
            index, length = int(rng.integers(len(rows))), int(rng.integers(0, 2 * BLOCK))
            usable = min(length, rows[index].prefilled) // BLOCK * BLOCK
            check(cache.extract(index, length), [Naive(rows[index].tokens[:usable], rows[index].source, usable)])
        check(cache, rows)


def test_what_was_extracted_is_a_copy():
    rng = np.random.default_rng(0)
    cache, _ = fresh(rng, BLOCK, False)
    part = cache.extract(0, BLOCK)
    kept = part.layers[0].self_attention._key.copy()
    append(rng, part, [Naive()], 1)
    cache.layers[0].self_attention._key[...] = 0
    assert np.array_equal(part.layers[0].self_attention._key[:, :, :BLOCK], kept)


def test_tokens_that_were_decoded_are_not_extracted():
    rng = np.random.default_rng(0)
    cache, row = fresh(rng, BLOCK + 3, False)
    append(rng, cache, [row], 2 * BLOCK)
    assert cache.extract(0, 10 * BLOCK).lengths.tolist() == [BLOCK]
    assert cache.extract(0, BLOCK - 1).lengths.tolist() == [0]


def test_memory_grows_by_doubling_and_is_given_back_with_the_last_row():
    rng = np.random.default_rng(0)
    cache, row = fresh(rng, 1, False)
    sizes = {cache.nbytes}
    for _ in range(20 * BLOCK):
        append(rng, cache, [row], 1)
        sizes.add(cache.nbytes)
    one = 2 * LAYERS * HEADS * WIDTH * 4
    assert sorted(sizes) == [one * BLOCK * 2**n for n in range(6)]
    cache.select([0] * 3)
    assert cache.nbytes == one * BLOCK * 32 * 3
    cache.select([])
    assert cache.nbytes == 0


def test_rows_that_are_not_there_are_refused():
    cache, _ = fresh(np.random.default_rng(0), 1, False)
    for rows in ([1], [0, -1]):
        with pytest.raises(ValueError, match="of 1 has not"):
            cache.select(rows)
    with pytest.raises(ValueError, match="1 rows, and keys of 2"):
        cache.layers[0].self_attention.append(*[Tensor(np.zeros((2, HEADS, 1, WIDTH), np.float32))] * 2)
