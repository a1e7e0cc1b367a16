"""Optimizers against their formulas in float64, written out element by element."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scratchgrad import Tensor, optim
from scratchgrad.optim.optimizer import TILE
from scratchgrad.threads import set_threads, threads

draw = np.random.default_rng(0).standard_normal


def leaves() -> dict[str, Tensor]:
    return {"matrix": Tensor(draw((3, 5)), True), "gain": Tensor(draw(5), True)}


def descend(optimizer: optim.Optimizer, tensors: dict[str, Tensor], steps: int) -> list[dict[str, np.ndarray]]:
    given = []
    for _ in range(steps):
        for tensor in tensors.values():
            tensor.grad = draw(tensor.shape)
        given.append({name: tensor.grad.copy() for name, tensor in tensors.items()})
        optimizer.step()
    return given


def test_adamw_is_the_formula_and_norms_do_not_decay():
    tensors = leaves()
    want = {name: t.data.copy() for name, t in tensors.items()}
    grads = descend(optim.AdamW(tensors.items(), lr=0.01, betas=(0.8, 0.95), eps=1e-6, weight_decay=0.3), tensors, 5)
    for name, x in want.items():
        m = v = np.zeros_like(x)
        for t, grad in enumerate((g[name] for g in grads), start=1):
            m, v = 0.8 * m + 0.2 * grad, 0.95 * v + 0.05 * grad**2
            decay = 0.3 * x if name == "matrix" else 0
            x = x - 0.01 * (m / (1 - 0.8**t) / (np.sqrt(v / (1 - 0.95**t)) + 1e-6) + decay)
        np.testing.assert_allclose(tensors[name].data, x, rtol=1e-12)


def test_sgd_with_momentum_is_the_formula():
    tensors = leaves()
    want = {name: t.data.copy() for name, t in tensors.items()}
    grads = descend(optim.SGD(tensors.items(), lr=0.1, momentum=0.9, weight_decay=0.2), tensors, 4)
    for name, x in want.items():
        velocity = np.zeros_like(x)
        for grad in (g[name] for g in grads):
            velocity = 0.9 * velocity + grad + (0.2 * x if name == "matrix" else 0)
            x = x - 0.1 * velocity
        np.testing.assert_allclose(tensors[name].data, x, rtol=1e-12)


@pytest.mark.parametrize("kind", [optim.AdamW, optim.SGD])
def test_tiles_and_threads_change_no_bit_and_saved_state_goes_on_as_if_nothing_had_happened(kind):
    start, grads = draw(2 * TILE + 17).astype(np.float32), [draw(2 * TILE + 17).astype(np.float32) for _ in range(4)]
    before = threads()

    def run(count: int, pause: int | None) -> bytes:
        set_threads(count)
        tensor = Tensor(start.copy(), True)
        optimizer = kind([("x", tensor)], lr=lambda step: 0.1 / (step + 1))
        for i, grad in enumerate(grads):
            if i == pause:
                saved = {name: array.copy() for name, array in optimizer.state_dict().items()}
                optimizer = kind([("x", tensor)], lr=lambda step: 0.1 / (step + 1))
                optimizer.load_state_dict(saved)
            tensor.grad = grad
            optimizer.step(grad_scale=0.5)
        return tensor.data.tobytes()

    try:
        assert len({run(count, pause) for count in (1, 2, 3) for pause in (None, 2)}) == 1
    finally:
        set_threads(before)


def test_state_of_other_parameters_is_refused():
    saved = optim.AdamW([("x", Tensor(draw(3), True))]).state_dict()
    with pytest.raises(ValueError, match="not one of AdamW over these parameters"):
        optim.AdamW([("y", Tensor(draw(3), True))]).load_state_dict(saved)
    with pytest.raises(ValueError, match=r"'exp_avg/x' has shape \(3,\) where \(4,\) is needed"):
        optim.AdamW([("x", Tensor(draw(4), True))]).load_state_dict(saved)


@given(st.floats(0.01, 100), st.integers(1, 5), st.integers(0, 2**32 - 1))
def test_clipping_shortens_to_the_norm_and_never_lengthens(max_norm, count, seed):
    draw = np.random.default_rng(seed).standard_normal
    tensors = [Tensor(draw((3, i + 1)), True) for i in range(count)]
    for tensor in tensors:
        tensor.grad = draw(tensor.shape)
    before = np.concatenate([t.grad.ravel() for t in tensors])
    norm = optim.clip_grad_norm_(tensors, max_norm)
    after = np.concatenate([t.grad.ravel() for t in tensors])
    assert norm == pytest.approx(np.linalg.norm(before))
    np.testing.assert_allclose(after, before * min(1, max_norm / norm), rtol=1e-12)


def test_the_inverse_square_root_is_the_papers_formula():
    """d_model^-0.5 * min(n^-0.5, n * warmup^-1.5), for the n-th step (Vaswani et al. 2017, section 5.3)."""
    schedule = optim.inverse_sqrt((512 * 4000) ** -0.5, warmup=4000)
    for n in (1, 2, 1000, 3999, 4000, 4001, 100_000):
        assert schedule(n - 1) == pytest.approx(512**-0.5 * min(n**-0.5, n * 4000**-1.5), rel=1e-12)
    assert [optim.inverse_sqrt(2.0)(step) for step in (0, 3)] == [2.0, 1.0]


def test_schedules_at_their_corners():
    cosine, linear = (shape(2.0, 101, warmup=10, final_ratio=0.1) for shape in (optim.cosine, optim.linear))
    for schedule in (cosine, linear, optim.constant(2.0, warmup=10)):
        assert [schedule(0), schedule(4), schedule(9), schedule(10)] == pytest.approx([0.2, 1.0, 2.0, 2.0])
    assert cosine(55) == pytest.approx(0.2 + 1.8 / 2)
    assert linear(55) == pytest.approx(1.1)
    assert cosine(32) == pytest.approx(0.2 + 0.9 * (1 + math.cos(math.pi * 22 / 90)))
    assert cosine(100) == cosine(1000) == pytest.approx(0.2)
    assert linear(100) == pytest.approx(0.2)
    assert optim.constant(2.0)(10_000) == 2.0
