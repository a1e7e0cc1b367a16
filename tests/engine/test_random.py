"""Random numbers are a function of where they are drawn."""

import math
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from scratchgrad import functional as F
from scratchgrad import nn, random
from scratchgrad.backend import to_numpy
from scratchgrad.gaussian import box_muller
from scratchgrad.random import Purpose, RngState, fork_rng


def philox_block(key: tuple[int, int], counter: tuple[int, ...]) -> list[int]:
    """Philox4x64-10 as its paper writes it, in Python integers."""
    mask = (1 << 64) - 1
    c, k = list(counter), list(key)
    for _ in range(10):
        a, b = 0xD2E7470EE14C6C93 * c[0], 0xCA5A826395121157 * c[2]
        c = [(b >> 64) ^ c[1] ^ k[0], b & mask, (a >> 64) ^ c[3] ^ k[1], a & mask]
        k = [(k[0] + 0x9E3779B97F4A7C15) & mask, (k[1] + 0xBB67AE8584CAA73B) & mask]
    return c


@given(st.integers(0, 2**63), st.integers(0, 2**40), st.integers(0, 2**20), st.integers(0, 2**20), st.integers(1, 40))
def test_uniform_numbers_are_those_of_the_paper_at_their_counter(seed, step, microbatch, site, size):
    with fork_rng(RngState(seed, step, microbatch, site)):
        drawn = random.uniform((size,), "cpu")
    words = [
        w
        for block in range(1, size // 8 + 2)
        for w in philox_block((seed, Purpose.DROPOUT), (block, site, microbatch, step))
    ]
    halves = [half for word in words for half in (word & 0xFFFFFFFF, word >> 32)]
    assert drawn.tolist() == [(half >> 8) / 2**24 for half in halves[:size]]


@st.composite
def parts(draw):
    """(shape of a whole array, slices of a part): any slice of each axis, few elements and many."""
    whole = tuple(draw(st.lists(st.sampled_from([0, 1, 2, 3, 5, 8, 33, 400]), max_size=4)))
    if np.prod(whole, initial=1) > 200_000:
        whole = whole[:2]
    cuts = [sorted((draw(st.integers(0, size)), draw(st.integers(0, size)))) for size in whole]
    kept = [draw(st.booleans()) for _ in whole]
    return whole, tuple(
        slice(0, size) if is_whole else slice(*cut) for size, is_whole, cut in zip(whole, kept, cuts, strict=True)
    )


@given(parts(), st.integers(0, 2**63))
@example(((3, 2, 20_000), (slice(1, 3), slice(0, 2), slice(10_001, 20_000))), 0)  # a run at a time
@example(((3, 400, 1000), (slice(1, 3), slice(0, 400), slice(3, 500))), 0)  # several chunks of rows with their gaps
@example(((3, 400, 1000), (slice(1, 3), slice(9, 11), slice(0, 1000))), 0)
def test_a_part_has_the_numbers_that_the_whole_array_has_there(part, seed):
    shape, slices = part
    offset = tuple(cut.start for cut in slices)
    with fork_rng(RngState(seed)):
        wanted = [random.uniform(shape, "cpu", site=4)[slices], random.normal(shape, name="a.weight")[slices]]
        part = {"global_shape": shape, "offset": offset}
        drawn = [
            random.uniform(wanted[0].shape, "cpu", site=4, **part),
            random.normal(wanted[0].shape, name="a.weight", **part),
        ]
    for one, other in zip(drawn, wanted, strict=True):
        assert one.shape == other.shape
        assert np.array_equal(one, other)


@pytest.mark.parametrize(("shape", "offset"), [((3,), (6,)), ((3,), (-1,)), ((3, 1), (0, 0)), ((3,), (0, 0))])
def test_a_part_that_does_not_lie_in_the_whole_is_refused(shape, offset):
    with pytest.raises(ValueError, match=r"does not lie in an array of shape \(8,\)"):
        random.uniform(shape, "cpu", global_shape=(8,), offset=offset)


def test_parts_of_an_activation_drop_what_the_whole_drops():
    x = np.ones((4, 6, 10), np.float32)
    whole = F.dropout(x, p=0.4, site=9).data
    rows, time, features = slice(2, 4), slice(3, 6), slice(5, 10)
    for cut in ((rows,), (slice(None), time), (slice(None), slice(None), features), (rows, time, features)):
        offset = tuple(at.start or 0 for at in (*cut, slice(0), slice(0)))[:3]
        assert np.array_equal(F.dropout(x[cut], p=0.4, site=9, global_shape=x.shape, offset=offset).data, whole[cut])


def test_sites_are_numbered_in_order_and_a_state_can_be_returned_to():
    random.manual_seed(1)
    first = random.uniform((4,), "cpu")
    state = random.get_rng_state()
    second = random.uniform((4,), "cpu")
    with fork_rng(state):
        assert np.array_equal(random.uniform((4,), "cpu"), second)
    third = random.uniform((4,), "cpu")
    assert len({x.tobytes() for x in (first, second, third)}) == 3


@pytest.mark.parametrize("seed", [-1, 2**64])
def test_a_seed_that_is_no_word_of_the_key_is_refused(seed):
    with pytest.raises(ValueError, match=r"a seed is an integer from 0 to 2\^64 - 1"):
        random.manual_seed(seed)
    random.manual_seed(2**64 - 1)
    random.uniform((3,), "cpu")


def test_what_another_thread_draws_moves_no_numbers():
    def drawn(meanwhile):
        random.manual_seed(1)
        random.uniform((4,), "cpu")
        meanwhile()
        return (
            random.uniform((4,), "cpu").tobytes(),
            nn.Linear(4, 4).weight.data.tobytes(),
            random.normal((4,)).tobytes(),
        )

    def serve():
        with nn.shapes_only():
            assert not nn.Linear(4, 4).weight.data.any()
        random.uniform((4,), "cpu")
        random.manual_seed(5)
        assert random.get_rng_state() == RngState(5)

    def in_a_thread():
        with ThreadPoolExecutor(1) as pool:
            pool.submit(serve).result()

    with random.fork_rng(RngState()):
        assert drawn(lambda: None) == drawn(in_a_thread)


def test_normal_numbers_are_box_and_mullers():
    """float64 and the library's log, sin and cos instead of our own."""
    words = np.random.Philox(key=[0, 0]).random_raw(200_000)
    words[:2] = [0, 2**64 - 1]  # the longest and the shortest
    low, high = words & np.uint64(2**32 - 1), words >> np.uint64(32)
    length = np.sqrt(-2 * np.log((np.floor(low / 256) + 1) / 2**24))
    angle = (np.floor(high / 256) / 2**23 - 1) * np.pi / 4
    cosine, sine = np.cos(angle) * np.where(high % np.uint64(2), -1, 1), np.sin(angle)
    is_upright = high // np.uint64(2) % np.uint64(2)
    wanted = np.where(is_upright[:, None], np.stack([sine, cosine], 1), np.stack([cosine, sine], 1)) * length[:, None]
    drawn = box_muller(words)
    assert drawn.dtype == np.float32
    np.testing.assert_allclose(drawn, wanted.reshape(-1), rtol=1e-6, atol=1e-6)


def test_normal_numbers_are_those_of_the_paper_at_their_counter():
    with fork_rng(RngState(5, step=1, microbatch=2)):
        drawn = random.normal((19,), name="layer.weight")
    key, site = (5, Purpose.INIT), random.name_site("layer.weight")
    words = [word for block in (1, 2, 3) for word in philox_block(key, (block, site, 0, 0))]
    assert np.array_equal(drawn, box_muller(np.array(words, np.uint64))[:19])


def test_the_site_of_a_name_is_blake2b():
    """By Python's hashlib and by coreutils' `b2sum -l 64`, whose bytes are read with the lowest first."""
    assert random.name_site("decoder.layers.3.attention_dropout") == 0x07A03BF1508F1BA8


def test_normal_numbers_have_the_moments_and_the_tails_of_the_distribution():
    random.manual_seed(0)
    drawn = random.normal((4000, 1000)).astype(np.float64)
    deviation = len(drawn.reshape(-1)) ** -0.5
    for power, moment, spread in ((1, 0, 1), (2, 1, 2**0.5), (3, 0, 15**0.5), (4, 3, 96**0.5)):
        assert abs((drawn**power).mean() - moment) < 5 * spread * deviation, power
    for bound in (0.5, 1, 2, 3, 4):
        share = math.erfc(bound / 2**0.5)
        assert abs((np.abs(drawn) > bound).mean() - share) < 5 * share**0.5 * deviation, bound
    for lag in (1, 2, 7, 8, 1000):  # neighbours, blocks, rows
        flat = drawn.reshape(-1)
        assert abs((flat[lag:] * flat[:-lag]).mean()) < 5 * deviation, lag


def test_what_has_a_name_does_not_depend_on_what_was_drawn_before():
    random.manual_seed(3)
    first = random.normal((5, 4), name="a"), random.next_site("drop"), random.next_site("drop")
    random.manual_seed(3)
    random.uniform((7,), "cpu")
    random.next_site("other")
    again = random.normal((5, 4), name="a"), random.next_site("drop"), random.next_site("drop")
    assert np.array_equal(first[0], again[0])
    assert first[1:] == again[1:] == (random.name_site("drop"), random.name_site("drop") + 1)
    assert not np.array_equal(first[0], random.normal((5, 4), name="b"))
    random.manual_seed(4)
    assert not np.array_equal(first[0], random.normal((5, 4), name="a"))


@pytest.mark.gpu
def test_the_gpu_draws_the_same_bits(gpu):
    parts = [((size,), None, None) for size in (1, 7, 8, 9, 100_003)]
    parts += [((2, 3, 50), (4, 3, 100), (1, 0, 50)), ((2, 2, 7), (4, 3, 7), (2, 1, 0)), ((1, 9), (5, 9), (3, 0))]
    for shape, global_shape, offset in parts:
        drawn = []
        for device in ("cpu", gpu):
            with fork_rng(RngState(seed=2**60 + 3, step=5, microbatch=3, site=1)):
                numbers = random.uniform(shape, device, global_shape=global_shape, offset=offset)
            drawn.append(to_numpy(numbers).tobytes())
        assert drawn[0] == drawn[1]
