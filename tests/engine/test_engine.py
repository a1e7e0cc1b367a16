"""What the engine promises. Each of these failed in some earlier draft."""

import gc
import tracemalloc
import weakref

import numpy as np
import pytest

from scratchgrad import Tensor, manual_seed, no_grad, op, recompute
from scratchgrad.backward_pass import BackwardPass, accumulate
from scratchgrad.dispatch import KERNELS
from scratchgrad.functional import dropout, linear, matmul, rms_norm, sigmoid
from scratchgrad.operators import OPS

draw = np.random.default_rng(0).standard_normal


def test_a_value_used_several_times_gets_the_sum_also_when_it_has_no_axes():
    for shape in [(), (3,)]:
        x = Tensor(np.ones(shape), requires_grad=True)
        (x * 3.0 + x * 4.0 + x * 5.0).backward(np.ones(shape))
        assert np.all(x.grad == 12)


def test_neighbours_never_share_a_gradient_and_the_cotangent_is_left_alone():
    a, b, g = Tensor(np.ones(3), True), Tensor(np.ones(3), True), np.ones(3)
    (a + b).backward(g)
    a.grad *= 2
    assert np.all(b.grad == 1)
    assert np.all(g == 1)


@pytest.mark.parametrize("frozen", [0, 1])
def test_a_frozen_input_costs_no_product(frozen):
    made = []

    @op
    def spied(a, b):
        def backward(grad):
            return lambda: made.append(0) or grad * b, lambda: made.append(1) or grad * a

        return a * b, backward

    leaves = [Tensor(draw(3), requires_grad=position != frozen) for position in (0, 1)]
    spied(*leaves).backward(draw(3))
    del OPS["spied"]
    assert made == [1 - frozen]


@pytest.mark.parametrize("call", [matmul, linear])
def test_products_promise_their_gradients_and_do_not_make_them(call):
    for forward in (call.__wrapped__, *KERNELS[call.__name__]["cpu"]):
        backward = forward(draw((3, 3)), draw((3, 3)))[1]
        assert all(callable(piece) for piece in backward(draw((3, 3)))[:2])


def test_a_graph_that_was_walked_says_so():
    x = Tensor(np.ones(3), requires_grad=True)
    trunk = x * 2.0
    (trunk * 3.0).backward(np.ones(3))
    with pytest.raises(RuntimeError, match="already gone through 'mul'"):
        (trunk * 4.0).backward(np.ones(3))


def test_tensors_may_be_passed_by_name():
    x, gain = Tensor(draw((2, 8)), True), Tensor(draw(8), True)
    rms_norm(x, weight=gain, eps=1e-5).backward(draw((2, 8)))
    assert gain.grad.shape == (8,)


def test_an_array_lives_only_as_long_as_someone_names_it():
    x, one = Tensor(np.zeros(1 << 18, np.float32), True), Tensor(np.ones(1 << 18, np.float32))
    tracemalloc.start()
    y = x
    for _ in range(50):
        y = y + one  # the closure of add keeps nothing
    assert tracemalloc.get_traced_memory()[0] < 3 * (1 << 20)
    tracemalloc.stop()


def test_memory_falls_while_the_walk_goes_down():
    kept, alive = [], []

    @op
    def probe(x):
        def backward(grad):
            alive.append(sum(array() is not None for array in kept))
            return (grad,)

        return x + 0, backward

    y = Tensor(np.ones(1 << 10), requires_grad=True)
    for layer in range(10):
        if layer in (0, 5):
            y = probe(y)
        y = sigmoid(y)  # its closure keeps its value
        kept.append(weakref.ref(y.data))
    root, y = y.node, None
    BackwardPass([(root, np.ones(1 << 10))], accumulate).run()
    del OPS["probe"]
    assert alive == [5, 0]


def test_a_leaf_hears_that_its_gradient_is_final_while_the_walk_is_still_going():
    x = Tensor(draw((4, 4)), requires_grad=True)
    weights = [Tensor(draw((4, 4)), requires_grad=True) for _ in range(4)]
    h = x
    for w in weights:
        h = sigmoid(h @ w)
    heard = []
    h.backward(draw((4, 4)), on_final=lambda leaf: heard.append(leaf))
    assert heard == [weights[3], weights[2], weights[1], x, weights[0]]
    assert all(leaf.grad is not None for leaf in heard)


@pytest.mark.parametrize("every", [1, 2])
def test_recomputation_keeps_the_bits_also_when_blocks_share_an_input(every):
    start, encoded = draw((16, 16)).astype(np.float32), draw((16, 16)).astype(np.float32)
    keys, values = ([draw((16, 16)).astype(np.float32) for _ in range(4)] for _ in range(2))

    def run(recomputed):
        h, e = Tensor(start, True), Tensor(encoded, True)
        ks, vs = ([Tensor(a, True) for a in arrays] for arrays in (keys, values))
        leaves = [h, e, *ks, *vs]
        for i in range(0, 4, every):

            def block(h, e, i=i):
                for k, v in list(zip(ks, vs, strict=False))[i : i + every]:
                    h = h + sigmoid(e @ k) * (e @ v)
                return h

            h = recompute(block, h, e) if recomputed else block(h, e)
        heard = []
        h.backward(
            np.ones((16, 16), np.float32),
            on_final=lambda leaf: heard.append([leaf is other for other in leaves].index(True)),
        )
        return [t.grad.tobytes() for t in leaves], heard

    plain, again = run(False), run(True)
    assert plain[0] == again[0]
    assert sorted(plain[1]) == sorted(again[1]) == list(range(10))


def test_recomputation_records_nothing_under_no_grad_and_keeps_only_the_inputs():
    x, w = Tensor(draw((64, 64)), True), Tensor(draw((64, 64)), True)
    with no_grad():
        assert recompute(lambda t: sigmoid(t @ w), x).node is None
    inside = []

    def block(t):
        middle = t @ w
        inside.append(weakref.ref(middle.data))
        return sigmoid(middle)

    out = recompute(block, x)
    gc.collect()
    assert inside[0]() is None
    out.backward(np.ones((64, 64)))
    assert len(inside) == 2
    assert w.grad is not None


def test_dtype_is_kept():
    x = Tensor(np.ones(3, np.float32), True)
    y = x * 3.0
    y.backward(np.ones(3, np.float64))
    assert y.data.dtype == x.grad.dtype == np.float32


def test_a_deep_graph_does_not_touch_the_call_stack():
    t = x = Tensor(np.ones(2), True)
    for _ in range(50_000):
        t = t + 1.0
    t.backward(np.ones(2))
    assert np.all(x.grad == 1)


def test_slices_give_their_gradients_as_parts_of_one_array():
    x = Tensor(draw((4, 6)), requires_grad=True)
    left, right = x[:, :2], x[:, 2:]
    (left.sum() * 2.0 + right.sum() * 3.0 + left.sum()).backward()
    assert np.array_equal(x.grad, np.broadcast_to([3.0, 3, 3, 3, 3, 3], (4, 6)))


def test_a_part_does_not_write_into_an_array_that_someone_else_holds():
    x = Tensor(np.ones(4), requires_grad=True)
    y = x * 1.0
    part = y[:2]  # younger than the sum below: its gradient meets one that add has also sent elsewhere
    both = y + x
    gradient = np.ones(4)
    (both + Tensor(np.zeros(4))).backward(gradient)
    assert np.all(gradient == 1)
    y = x * 1.0
    x.grad = None
    ((y + x).sum() + y[:2].sum()).backward()
    assert np.array_equal(x.grad, [3, 3, 2, 2])
    assert part.shape == (2,)


def test_a_leaf_that_nobody_holds_any_more_is_let_go_at_once():
    x = Tensor(draw((3,)), requires_grad=True)
    y, gone = sigmoid(x), weakref.ref(x)
    gc.disable()
    try:
        del x
        assert gone() is None
        y.backward(np.ones(3))
    finally:
        gc.enable()


def test_nothing_stays_alive_after_the_walk():
    x = Tensor(draw((64, 64)), requires_grad=True)
    middle = x @ x
    out = sigmoid(middle)
    seen = weakref.ref(middle.data)
    del middle
    out.backward(np.ones((64, 64)))
    assert seen() is None


def test_a_frozen_parameter_is_no_leaf():
    x, w = Tensor(draw((2, 2)), True), Tensor(draw((2, 2)), True)
    w.requires_grad = False
    (x @ w).backward(np.ones((2, 2)))
    assert w.grad is None
    assert x.grad is not None


def test_dropout_falls_on_the_same_elements_when_a_block_runs_again():
    grads = []
    for wrap in (lambda block, x: block(x), recompute):
        manual_seed(3)
        x = Tensor(np.ones((32, 32)), requires_grad=True)
        y = dropout(wrap(lambda t: dropout(sigmoid(dropout(t, p=0.3)), p=0.5), x), p=0.1)
        y.backward(np.ones((32, 32)))
        grads.append((y.data.tobytes(), x.grad.tobytes()))
    assert grads[0] == grads[1]


def test_backward_needs_a_leaf_and_a_gradient_of_the_right_shape():
    with pytest.raises(RuntimeError, match="no leaf below it requires_grad"):
        Tensor(np.ones(3)).backward()
    x = Tensor(np.ones(3), requires_grad=True)
    with pytest.raises(ValueError, match=r"needs one element, this tensor, made by 'mul', has shape \(3,\)"):
        (x * 2).backward()
    with pytest.raises(ValueError, match=r"'mul', of shape \(3,\), was given a gradient of shape \(2,\)"):
        (x * 2).backward(np.ones(2))


def test_a_user_writes_an_op_in_a_few_lines():
    @op
    def cube(x):
        return x**3, lambda grad: (grad * 3 * x**2,)

    x = Tensor([2.0, 3.0], requires_grad=True)
    cube(x).sum().backward()
    del OPS["cube"]
    assert x.grad.tolist() == [12, 27]
    assert repr(x).startswith("Tensor([2., 3.], shape=(2,), dtype=float32, requires_grad=True)")


@pytest.mark.parametrize("uses", [(0, 1, 2), (1,), (2, 0), (0,)])
def test_a_block_of_several_results_is_recomputed_bit_for_bit(uses):
    values = [draw(shape) for shape in [(4, 5), (4, 5), (5, 5), (5,)]]

    def run(wrap):
        manual_seed(3)
        leaves = x, outer, w, v = [Tensor(value, requires_grad=True) for value in values]

        def block(h, made):
            h = dropout(matmul(h, w), p=0.3)
            return h * made, (h * v).sum(), h

        h, made = sigmoid(x), sigmoid(outer)
        for _ in range(2):
            results = wrap(block, h, made)
            h = h + sum((results[i] * (i + 1.5) for i in uses), start=made * 0.5)
        loss = (h * h).sum()
        loss.backward()
        return [loss.data.tobytes(), *(leaf.grad.tobytes() for leaf in leaves if leaf.grad is not None)]

    assert run(lambda block, *inputs: block(*inputs)) == run(recompute)
