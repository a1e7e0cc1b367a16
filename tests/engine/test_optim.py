"""Optimizers against their formulas in float64, written out element by element."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scratchgrad import Tensor, nn, optim
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


@pytest.mark.parametrize("kind", [optim.Adam, optim.AdamW, optim.SGD])
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


def test_adam_adds_its_weight_decay_to_the_gradient():
    tensors = leaves()
    want = {name: t.data.copy() for name, t in tensors.items()}
    grads = descend(optim.Adam(tensors.items(), lr=0.01, betas=(0.8, 0.95), weight_decay=0.3), tensors, 3)
    for name, x in want.items():
        m = v = np.zeros_like(x)
        for t, grad in enumerate((g[name] for g in grads), start=1):
            grad = grad + (0.3 * x if name == "matrix" else 0)
            m, v = 0.8 * m + 0.2 * grad, 0.95 * v + 0.05 * grad**2
            x = x - 0.01 * m / (1 - 0.8**t) / (np.sqrt(v / (1 - 0.95**t)) + 1e-8)
        np.testing.assert_allclose(tensors[name].data, x, rtol=1e-12)


KINDS = [optim.Adam, optim.AdamW, optim.SGD]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [(4, 2), (2, 2), (3, 3)])  # two rows, or two columns, would unpack as pairs
def test_parameters_names_and_groups_are_the_same_parameters(kind, shape):
    def trained(given) -> list[bytes]:
        layer = nn.Linear(*shape)
        layer.weight.data, layer.bias.data = np.ones(shape[::-1], np.float32), np.ones(shape[1], np.float32)
        optimizer = kind(given(layer), 0.1)
        for _ in range(2):
            (layer(Tensor(np.ones((3, shape[0]), np.float32))) ** 2).sum().backward()
            optimizer.step()
            optimizer.zero_grad()
        return [parameter.data.tobytes() for parameter in layer.parameters()]

    ways = [
        nn.Module.parameters, nn.Module.named_parameters, lambda m: list(m.parameters()),
        lambda m: [{"params": m.parameters()}], lambda m: [{"params": m.named_parameters()}],
        lambda m: [{"params": m.weight}, {"params": [m.bias]}], lambda m: [*m.parameters(), m.weight],
        lambda m: [*m.named_parameters(), ("tied", m.weight)],
    ]  # fmt: skip
    results = [trained(way) for way in ways]
    assert all(result == results[0] for result in results)
    assert results[0][0] != np.ones(shape, np.float32).tobytes()


LEAF = Tensor([[1.0, 2.0], [3.0, 4.0]], True)


@pytest.mark.parametrize(("given", "error", "words"), [
    (LEAF, TypeError, "was given a Tensor for its parameters; it takes model.parameters.*stands in a list"),
    (nn.Linear(2, 2), TypeError, "was given a Linear for its parameters; it takes model.parameters"),
    ({"w": LEAF}, TypeError, "was given a dict for its parameters"), (3, TypeError, "was given a int"),
    ([np.ones(2)], TypeError, "was given a ndarray for a parameter"), ([("w", 3)], TypeError, "a tuple for a parameter"),
    ([(LEAF, LEAF)], TypeError, "was given a tuple for a parameter"), ([nn.Linear(2, 2)], TypeError, "a Linear for a"),
    ([LEAF * 2], ValueError, "a tensor that 'mul' made"), ([], ValueError, "no parameter that requires a gradient"),
    ([Tensor([1.0])], ValueError, "no parameter that requires a gradient"),
    ([LEAF, {"params": [LEAF]}], TypeError, "one is no dict with 'params'"), ([{"weights": LEAF}], TypeError, "one is no dict"),
    ([{"params": [LEAF], "learning_rate": 1}], TypeError, "has the options lr.*not 'learning_rate'"),
    ([{"params": [LEAF]}, {"params": [LEAF]}], ValueError, "parameter '0' is in two groups"),
    ([("w", LEAF), ("w", Tensor([1.0], True))], ValueError, "two parameters have the name 'w'"),
])  # fmt: skip
def test_what_is_no_parameter_is_refused_in_a_sentence(given, error, words):
    with pytest.raises(error, match=words) as caught:
        optim.AdamW(given)
    assert len(str(caught.value)) < 300


def test_groups_have_options_of_their_own_that_may_change_between_steps():
    a, b, gain = (Tensor(np.ones(shape), True) for shape in ((2, 2), (2, 2), 2))
    optimizer = optim.SGD([{"params": [a]}, {"params": [b, gain], "lr": lambda step: 0.5, "weight_decay": 1.0}], lr=0.1)
    assert [group["lr"] if group["lr"] == 0.1 else "own" for group in optimizer.param_groups] == [0.1, "own"]
    for tensor in (a, b, gain):
        tensor.grad = np.ones(tensor.shape)
    optimizer.step()
    assert [tensor.data.ravel()[0] for tensor in (a, b, gain)] == [
        0.9,
        0.0,
        0.0,
    ]  # a group's own decay is for all of it
    optimizer.param_groups[0]["lr"] = 0.4
    optimizer.step()
    assert a.data[0, 0] == pytest.approx(0.5)
    optimizer.add_param_group({"params": [("late", Tensor([1.0], True))]})
    assert list(optimizer.parameters) == ["0", "1", "2", "late"]
    assert optimizer.param_groups[2]["param_names"] == ["late"]


LAYOUTS = {
    "transposed": lambda x: np.ascontiguousarray(x.T).T, "Fortran": np.asfortranarray,
    "reversed": lambda x: np.ascontiguousarray(x[::-1])[::-1], "every other": lambda x: np.repeat(x, 2, axis=1)[:, ::2],
    "rows": lambda x: np.concatenate([x, x])[: len(x)],
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_parameter_is_stepped_in_its_own_memory_whatever_its_layout(kind, layout):
    start, grads = draw((300, 500)), [draw((300, 500)) for _ in range(2)]

    def stepped(data: np.ndarray) -> np.ndarray:
        tensor = Tensor(data, True)
        optimizer = kind([tensor], lr=0.1)
        for grad in grads:
            tensor.grad = LAYOUTS[layout](grad)
            optimizer.step()
        assert tensor.data is data
        return data

    assert np.array_equal(stepped(LAYOUTS[layout](start)), stepped(start.copy()))


def test_a_gradient_of_another_shape_is_refused_even_where_the_sizes_agree():
    tensor = Tensor(np.ones((2, 3)), True)
    tensor.grad = np.ones((3, 2))
    with pytest.raises(ValueError, match=r"'w' has shape \(2, 3\), and its .grad \(3, 2\)"):
        optim.SGD([("w", tensor)]).step()


def test_the_bias_correction_counts_the_updates_of_the_parameter_and_is_saved():
    """One that gets its first gradient late takes the first step that it would have taken at once."""

    def rows(pause: bool) -> list[float]:
        often, late = Tensor([1.0], True), Tensor([1.0], True)
        optimizer = optim.Adam([("often", often), ("late", late)], lr=0.1)
        for step in range(5):
            often.grad, late.grad = np.ones(1, np.float32), np.ones(1, np.float32) if step > 2 else None
            optimizer.step()
            if pause:
                saved = {name: array.copy() for name, array in optimizer.state_dict().items()}
                optimizer = optim.Adam([("often", often), ("late", late)], lr=0.1)
                optimizer.load_state_dict(saved)
        return [often.item(), late.item()]

    assert rows(False) == pytest.approx([0.5, 0.8], abs=1e-6)
    assert rows(True) == rows(False)


def test_state_saved_before_parameters_were_counted_still_loads():
    tensor = Tensor(np.ones(3), True)
    optimizer = optim.AdamW([("x", tensor)])
    optimizer.load_state_dict({"steps": np.array(7), "exp_avg/x": np.ones(3), "exp_avg_sq/x": np.ones(3)})
    assert set(optimizer.state_dict()) == {"steps", "exp_avg/x", "exp_avg_sq/x"}
    assert optimizer.parameter_steps == {"x": 7}


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


def test_a_rule_of_ones_own_that_is_not_in_its_form_says_so():
    class Dict(optim.Optimizer):
        def __init__(self, params, lr=0.1):
            super().__init__(params, {"lr": lr})

    class Returns(optim.Optimizer):
        def update(self, parameter, grad, state, options):
            return parameter - options["lr"] * grad

    with pytest.raises(TypeError, match=r"options of Dict have names: super\(\).__init__\(params, lr=lr\)"):
        Dict([Tensor([1.0], True)])
    weight = Tensor([1.0], True)
    (weight * 2).sum().backward()
    with pytest.raises(TypeError, match=r"the update of Returns returned something; it changes the tile .* in place"):
        Returns([weight], lr=0.1).step()
