"""Collectives with a gradient, on ranks of real MPI jobs, against one process that has all of it.

Lengths differ from rank to rank, and no two ranks have the same numbers.
"""

import inspect

import numpy as np
import pytest

from scratchgrad import Tensor, parallel
from scratchgrad.parallel import Communicator

pytestmark = pytest.mark.mpi


def numbers(*shape_and_seed):
    """(seed, *shape) -> an array of these; the same in every process."""
    seed, *shape = shape_and_seed
    return np.random.default_rng(seed).standard_normal(shape)


PROGRAM = f"""
import numpy as np
from scratchgrad import Tensor, functional as F, recompute
from scratchgrad.parallel import *
{inspect.getsource(numbers)}
comm = connect()
ranks, me, size = range(comm.size), comm.rank, comm.size

def leaf(array):
    return Tensor(array.copy(), requires_grad=True)

def same(got, wanted):
    np.testing.assert_allclose(got, wanted, rtol=1e-12, atol=1e-12)
"""

# Every rank's loss is the sum of its output times weights of its own. The sum of all ranks' losses, computed by one
# process from all ranks' inputs with nothing but slices, concatenation and addition, has the gradients that each rank
# must find.
ADJOINTS = """
def check(collective, one_process, shape_of):
    inputs = [leaf(numbers(rank, *shape_of(rank))) for rank in ranks]
    outputs = one_process(inputs)
    weights = [numbers(100 + rank, *out.shape) for rank, out in zip(ranks, outputs)]
    sum((out * w).sum() for out, w in zip(outputs, weights)).backward()
    mine = leaf(inputs[me].data)
    for dtype, tolerance in ((np.float64, 1e-12), (np.float32, 1e-4)):
        mine = leaf(inputs[me].data.astype(dtype))
        out = collective(mine)
        assert (out.dtype, out.shape) == (dtype, outputs[me].shape), (out, outputs[me].shape)
        np.testing.assert_allclose(out.data, outputs[me].data, rtol=tolerance, atol=tolerance)
        weight = weights[me].astype(dtype)
        (out * weight).sum().backward()
        assert mine.grad.dtype == dtype
        np.testing.assert_allclose(mine.grad, inputs[me].grad, rtol=tolerance, atol=tolerance)
    assert not collective(Tensor(inputs[me].data)).requires_grad
    again = leaf(inputs[me].data)
    (recompute(collective, again) * weights[me]).sum().backward()
    same(again.grad, inputs[me].grad)

def total(tensors):
    return sum(tensors[1:], tensors[0])

def parts(x, sizes, axis):
    return [F.getitem(x, index=(slice(None),) * axis + (slice(sum(sizes[:i]), sum(sizes[: i + 1])),)) for i in range(len(sizes))]

check(lambda x: all_reduce(x, comm=comm), lambda xs: [total(xs)] * size, lambda rank: (3, 5))
check(lambda x: all_reduce(x, comm=comm), lambda xs: [total(xs)] * size, lambda rank: ())
for axis in (0, 1, -1):
    uneven = lambda rank: [2, 4, 3][:axis % 3] + [(2 * rank + 1) % 4] + [2, 4, 3][axis % 3 + 1:]
    check(lambda x: all_gather(x, comm=comm, axis=axis), lambda xs: [F.concatenate(xs, axis=axis)] * size, uneven)

    sizes = [(rank + 2) % 3 for rank in ranks]  # none for one of them
    length = sum(sizes)
    even = lambda rank: [2, 4, 3][:axis % 3] + [length] + [2, 4, 3][axis % 3 + 1:]
    check(lambda x: reduce_scatter(x, comm=comm, axis=axis, split_sizes=sizes), lambda xs: parts(total(xs), sizes, axis % 3), even)
    by_rule = [len(part) for part in split_ranges(length, size)]
    check(lambda x: reduce_scatter(x, comm=comm, axis=axis), lambda xs: parts(total(xs), by_rule, axis % 3), even)

    sent = [[(3 * source + dest) % 4 for dest in ranks] for source in ranks]  # from, to
    own = lambda rank: [2, 4, 3][:axis % 3] + [sum(sent[rank])] + [2, 4, 3][axis % 3 + 1:]
    check(lambda x: all_to_all(x, comm=comm, axis=axis, split_sizes=sent[me]),
          lambda xs: [F.concatenate([parts(x, row, axis % 3)[to] for x, row in zip(xs, sent)], axis=axis) for to in ranks], own)
check(lambda x: all_to_all(x, comm=comm),
      lambda xs: [F.concatenate([parts(x, [len(p) for p in split_ranges(len(x), size)], 0)[to] for x in xs]) for to in ranks], lambda rank: (7 + rank, 2))
"""

# A tensor-parallel feed-forward layer and a gathered output, cut into unequal columns: every rank must find the loss and
# the gradients of its part of what one process finds.
REGIONS = """
rows, width, hidden, classes = 3, 4, 2 * size + 1, 3 * size + 2
up, down, head, x = numbers(1, width, hidden), numbers(2, hidden, width), numbers(3, width, classes), numbers(4, rows, width)
asked = numbers(5, rows, classes)

def one_process():
    leaves = [leaf(array) for array in (x, up, down, head)]
    inputs, u, d, h = leaves
    loss = (F.softmax((F.gelu(inputs @ u) @ d + inputs) @ h) * asked).sum()
    loss.backward()
    return loss, [l.grad for l in leaves]

def on_ranks(block=lambda f, *a: f(*a)):
    columns, outputs = split_ranges(hidden, size)[me], split_ranges(classes, size)[me]
    assert size == 1 or {len(part) for part in split_ranges(hidden, size)} == {2, 3}
    inputs, u, d, h = leaves = [leaf(array) for array in (
        x, up[:, columns.start:columns.stop], down[columns.start:columns.stop], head[:, outputs.start:outputs.stop])]
    def layer(inputs):
        return reduce_from_group(F.gelu(copy_to_group(inputs, comm=comm) @ u) @ d, comm=comm) + inputs
    hidden_states = block(layer, inputs)
    logits = gather_from_group(copy_to_group(hidden_states, comm=comm) @ h, comm=comm)
    loss = (F.softmax(logits) * asked).sum()
    loss.backward()
    return loss, [l.grad for l in leaves], columns, outputs

loss, (dx, du, dd, dh) = one_process()
for block in (lambda f, *a: f(*a), recompute):
    got, (gx, gu, gd, gh), columns, outputs = on_ranks(block)
    same(got.data, loss.data)
    same(gx, dx)
    same(gu, du[:, columns.start:columns.stop])
    same(gd, dd[columns.start:columns.stop])
    same(gh, dh[:, outputs.start:outputs.stop])
    assert comm.broadcast(gx.tolist()) == gx.tolist()  # bit for bit the same on all ranks

# into the region and out again, along an axis that the ranks do not share evenly
for axis in (0, 1, -1):
    shape = [2, 2, 2]
    shape[axis] = 2 * size + 1
    value, weight = leaf(numbers(6, *shape)), numbers(7, *shape)
    part = scatter_to_group(value, comm=comm, axis=axis)
    assert part.shape[axis] == len(split_ranges(2 * size + 1, size)[me])
    whole = gather_from_group(part * part, comm=comm, axis=axis)
    (whole * weight).sum().backward()
    same(whole.data, value.data ** 2)
    same(value.grad, 2 * value.data * weight)
"""


@pytest.mark.parametrize("count", [1, 2, 3, 4])
@pytest.mark.parametrize("program", [ADJOINTS, REGIONS], ids=["adjoints", "regions"])
def test_values_and_gradients_are_those_of_one_process(start, program, count):
    job = start(PROGRAM + program, ranks=count)
    assert job.end() == 0, job.output


@pytest.mark.parametrize("name", ["copy_to_group", "reduce_from_group", "scatter_to_group", "gather_from_group",
                                  "all_reduce", "all_gather", "reduce_scatter", "all_to_all"])  # fmt: skip
def test_in_a_world_of_one_each_is_the_identity(name):
    x, weight = Tensor(numbers(0, 3, 5), requires_grad=True), numbers(1, 3, 5)
    out = getattr(parallel, name)(x, comm=Communicator())
    out.backward(weight)
    assert np.array_equal(out.data, x.data)
    assert np.array_equal(x.grad, weight)


def test_mistakes_name_the_op_and_its_argument():
    x = Tensor(np.ones((3, 5)))
    with pytest.raises(
        ValueError, match=r"all_to_all\(x \(3, 5\) float64.*split_sizes \[2\] do not cut axis 0, which is 3 long"
    ):
        parallel.all_to_all(x, comm=Communicator(), split_sizes=[2])
    with pytest.raises(np.exceptions.AxisError, match=r"all_gather\(x \(3, 5\) float64.*axis 2 is none of the 2 axes"):
        parallel.all_gather(x, comm=Communicator(), axis=2)
