"""One row per op: which shapes and options it takes, which values, and what it gives, in plain NumPy float64.

A test holds this table against the functional face and the registry. The references share no code with the ops.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from scratchgrad import Tensor
from scratchgrad import functional as F

Shape = tuple[int, ...]
Given = tuple[tuple[Shape, ...], dict[str, Any]]  # the shapes of the float arrays, and the options


@dataclass(frozen=True)
class Case:
    """`call` takes the float tensors first, then the drawn options; `reference` the same with arrays.

    `values` maps a normal draw into the op's domain, and away from its kinks. `distinct`: equal elements are a kink.
    `has_gradient` is False for questions and numbers of places.
    """

    inputs: st.SearchStrategy[Given]
    call: Callable[..., Tensor]
    reference: Callable[..., Any] | None
    values: Callable[[np.ndarray], np.ndarray] | tuple[Callable[[np.ndarray], np.ndarray], ...] = lambda x: x
    distinct: bool = False
    has_gradient: bool = True


def case(
    name: str, inputs: st.SearchStrategy[Given], reference: Callable[..., Any] | None, **rest: Any
) -> tuple[str, Case]:
    def call(*tensors: Tensor, **options: Any) -> Tensor:
        return getattr(F, name)(*tensors, **options)  # looked up late: a mutant may stand there

    return name, Case(inputs, rest.pop("call", call), reference, **rest)


# Values


def away_from_zero(x: np.ndarray) -> np.ndarray:
    return np.where(x < 0, x - 0.1, x + 0.1)


def between_integers(x: np.ndarray) -> np.ndarray:
    """Not near k / 2, where floor, ceil and round jump."""
    return np.floor(2 * x) / 2 + 0.1 + 0.3 * (2 * x - np.floor(2 * x))


def half(x: np.ndarray) -> np.ndarray:
    return np.where(x < 0, -0.5, 0.5)


def some_zeros(x: np.ndarray) -> np.ndarray:
    return np.where(np.abs(x) < 0.4, 0, x)


def positive(x: np.ndarray) -> np.ndarray:
    return np.abs(x) + 0.1


# Shapes and options


def plain(shapes: st.SearchStrategy[Any]) -> st.SearchStrategy[Given]:
    return shapes.map(lambda drawn: (tuple(drawn), {}))


def options(inputs: st.SearchStrategy[Given], **drawn: st.SearchStrategy[Any]) -> st.SearchStrategy[Given]:
    """The same shapes with options that do not depend on them."""
    return st.tuples(inputs, st.fixed_dictionaries(drawn)).map(lambda t: (t[0][0], {**t[0][1], **t[1]}))


def numbers(seed: int, shape: Shape, below: int, lowest: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(lowest, below, shape) if math.prod(shape) else np.zeros(shape, int)


seeds = st.integers(0, 2**32 - 1)
lengths = st.integers(1, 5)
shapes = hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4)
filled = hnp.array_shapes(min_dims=0, max_dims=3, min_side=1, max_side=4)
with_axes = hnp.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=4)
full_with_axes = hnp.array_shapes(min_dims=1, max_dims=3, min_side=1, max_side=4)
one = plain(shapes.map(lambda shape: (shape,)))
two = plain(
    hnp.mutually_broadcastable_shapes(num_shapes=2, min_side=0, max_side=4, max_dims=3).map(lambda d: d.input_shapes)
)
same_two = plain(shapes.map(lambda shape: (shape, shape)))
normed = full_with_axes.map(lambda shape: (shape, shape[-1:]))
reductions = st.sampled_from(["mean", "sum", "none"])


@st.composite
def reduced(draw: Any, base: st.SearchStrategy[Shape], **more: st.SearchStrategy[Any]) -> Given:
    shape = draw(base)
    kinds = [st.none(), hnp.valid_tuple_axes(len(shape))]
    if shape:
        kinds.append(st.integers(-len(shape), len(shape) - 1))
    rest = {name: draw(strategy) for name, strategy in more.items()}
    return (shape,), {"axis": draw(st.one_of(kinds)), "keepdims": draw(st.booleans()), **rest}


@st.composite
def along(draw: Any, base: st.SearchStrategy[Shape] = with_axes, **more: st.SearchStrategy[Any]) -> Given:
    """A shape and one of its axes."""
    shape = draw(base)
    rest = {name: draw(strategy) for name, strategy in more.items()}
    return (shape,), {"axis": draw(st.integers(-len(shape), len(shape) - 1)), **rest}


@st.composite
def joined(draw: Any) -> Given:
    shape, count = draw(with_axes), draw(st.integers(1, 3))
    axis = draw(st.integers(-len(shape), len(shape) - 1))
    parts = []
    for _ in range(count):
        part = list(shape)
        part[axis] = draw(st.integers(0, 3))
        parts.append(tuple(part))
    return tuple(parts), {"axis": axis}


@st.composite
def stacked(draw: Any) -> Given:
    shape, count = draw(shapes), draw(st.integers(1, 3))
    return (shape,) * count, {"axis": draw(st.integers(-len(shape) - 1, len(shape)))}


@st.composite
def indexed(draw: Any) -> Given:
    """Views, integer arrays (with repetitions and negative numbers) and masks."""
    shape = draw(full_with_axes)
    kind = draw(st.sampled_from(["basic", "integers", "mask", "mixed"]))
    if kind == "basic":
        return (shape,), {"index": draw(hnp.basic_indices(shape, allow_newaxis=True))}
    if kind == "integers":
        picked = draw(hnp.integer_array_indices(shape, result_shape=hnp.array_shapes(max_dims=2, max_side=3)))
        return (shape,), {"index": picked}
    if kind == "mask":
        return (shape,), {"index": numbers(draw(seeds), shape, 2).astype(bool)}
    return (shape,), {"index": (..., numbers(draw(seeds), (3,), shape[-1], -shape[-1]))}


@st.composite
def assigned(draw: Any) -> Given:
    """As above, and values that are broadcast to the part, with axes of length 1 in front, or more than it has."""
    (shape,), options = draw(indexed())
    part = np.zeros(shape)[options["index"]].shape
    is_mask = isinstance(options["index"], np.ndarray) and options["index"].dtype.kind == "b"
    kept = [draw(st.sampled_from([length, 1])) for length in part][draw(st.integers(0, len(part))) :]
    most = len(part) + (2 if part and not is_mask else 0)  # which NumPy takes
    return (shape, (1,) * draw(st.integers(0, most - len(kept))) + tuple(kept)), options


def with_part(x: np.ndarray, value: np.ndarray, index: Any) -> np.ndarray:
    places = np.arange(x.size).reshape(x.shape)[index]
    value = value.reshape(value.shape[max(value.ndim - places.ndim, 0) :])
    out = list(x.flat)
    for place, number in zip(places.flat, np.broadcast_to(value, places.shape).flat, strict=True):
        out[place] = number
    return np.array(out).reshape(x.shape)


@st.composite
def taken(draw: Any) -> Given:
    shape = draw(full_with_axes)
    axis = draw(st.integers(-len(shape), len(shape) - 1))
    places = draw(hnp.array_shapes(min_dims=0, max_dims=2, min_side=0, max_side=3))
    return (shape,), {"indices": numbers(draw(seeds), places, shape[axis], -shape[axis]), "axis": axis}


@st.composite
def taken_along(draw: Any) -> Given:
    shape = draw(full_with_axes)
    axis = draw(st.integers(-len(shape), len(shape) - 1))
    places = list(shape)
    places[axis] = draw(st.integers(0, 4))
    return (shape,), {"indices": numbers(draw(seeds), tuple(places), shape[axis], -shape[axis]), "axis": axis}


@st.composite
def scattered(draw: Any) -> Given:
    (shape,), drawn = draw(taken_along())
    return (shape, drawn["indices"].shape), drawn


@st.composite
def index_added(draw: Any) -> Given:
    shape = draw(full_with_axes)
    axis = draw(st.integers(-len(shape), len(shape) - 1))
    source = list(shape)
    source[axis] = draw(st.integers(0, 4))
    return (shape, tuple(source)), {
        "indices": numbers(draw(seeds), (source[axis],), shape[axis], -shape[axis]),
        "axis": axis,
    }


@st.composite
def reshaped(draw: Any) -> Given:
    shape = draw(shapes)
    return (shape,), {
        "shape": draw(st.permutations(shape).map(tuple)) if draw(st.booleans()) else (math.prod(shape), 1)
    }


@st.composite
def transposed(draw: Any) -> Given:
    shape = draw(shapes)
    axes = draw(st.none() | st.permutations(range(len(shape))).map(tuple))
    if axes is not None and shape and draw(st.booleans()):
        axes = (axes[0] - len(shape), *axes[1:])
    return (shape,), {"axes": axes}


@st.composite
def swapped(draw: Any) -> Given:
    shape = draw(with_axes)
    axis = st.integers(-len(shape), len(shape) - 1)
    return (shape,), {"axis1": draw(axis), "axis2": draw(axis)}


@st.composite
def squeezed(draw: Any) -> Given:
    shape = draw(hnp.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=2))
    ones = [i for i, length in enumerate(shape) if length == 1]
    return (shape,), {"axis": draw(st.none() | st.sampled_from(ones) | st.just(tuple(ones)) if ones else st.none())}


@st.composite
def expanded(draw: Any) -> Given:
    shape = draw(shapes)
    return (shape,), {"axis": draw(st.integers(-len(shape) - 1, len(shape)))}


@st.composite
def broadcast(draw: Any) -> Given:
    drawn = draw(hnp.mutually_broadcastable_shapes(num_shapes=1, base_shape=draw(shapes), max_dims=3, min_side=0))
    return drawn.input_shapes, {"shape": drawn.result_shape}


@st.composite
def flattened(draw: Any) -> Given:
    shape = draw(with_axes)
    first = draw(st.integers(0, len(shape) - 1))
    last = draw(st.integers(first, len(shape) - 1))
    return (shape,), {"start_axis": first, "end_axis": last - draw(st.sampled_from([0, len(shape)]))}


@st.composite
def cut(draw: Any) -> Given:
    (shape,), drawn = draw(along())
    length = shape[drawn["axis"]]
    equal = [n for n in range(1, 5) if length % n == 0]
    places = st.lists(st.integers(0, length), max_size=2).map(sorted)
    return (shape,), {**drawn, "sections": draw(st.sampled_from(equal) | places)}


@st.composite
def flipped(draw: Any) -> Given:
    shape = draw(with_axes)
    return (shape,), {"axis": draw(st.none() | hnp.valid_tuple_axes(len(shape)))}


@st.composite
def rolled(draw: Any) -> Given:
    (shape,), drawn = draw(along(shift=st.integers(-5, 5)))
    return (shape,), {**drawn, "axis": draw(st.sampled_from([None, drawn["axis"]]))}


@st.composite
def padded(draw: Any) -> Given:
    shape = draw(with_axes)
    width = st.tuples(st.integers(0, 2), st.integers(0, 2))
    return (shape,), {"pad_width": [draw(width) for _ in shape], "value": draw(st.sampled_from([0.0, -1.5]))}


@st.composite
def diagonals(draw: Any) -> Given:
    shape = draw(hnp.array_shapes(min_dims=2, max_dims=3, min_side=1, max_side=4))
    axes = draw(st.permutations(range(len(shape))))
    return (shape,), {"offset": draw(st.integers(-2, 2)), "axis1": axes[0], "axis2": axes[1] - len(shape)}


@st.composite
def windows(draw: Any) -> Given:
    (shape,), drawn = draw(along(full_with_axes, step=st.integers(1, 3)))
    return (shape,), {**drawn, "size": draw(st.integers(1, shape[drawn["axis"]]))}


@st.composite
def matrices(draw: Any) -> Given:
    n, k, m = draw(st.tuples(st.integers(0, 4), st.integers(0, 4), st.integers(0, 4)))
    lead = draw(hnp.mutually_broadcastable_shapes(num_shapes=2, min_side=0, max_side=3, max_dims=2)).input_shapes
    a, b = (*lead[0], n, k), (*lead[1], k, m)
    kind = draw(st.sampled_from(["stacks", "row", "column", "vectors"]))
    return ((k,) if kind in ("row", "vectors") else a, (k,) if kind in ("column", "vectors") else b), {}


EQUATIONS = ["...i->...", "ij,ik->j", "iij,j->i", "ii", "ij,jk->ik", "...ij,...jk->...ik", "bij,kj->kib", "ij,i"]


@st.composite
def equations(draw: Any) -> Given:
    """An equation and lengths for its letters; an operand may have length 1 where others have more."""
    subscripts = draw(st.sampled_from(EQUATIONS))
    size = {letter: draw(st.integers(1, 3)) for letter in "bijkl"}
    middle = draw(hnp.array_shapes(min_dims=0, max_dims=1, max_side=3))
    words = subscripts.partition("->")[0].split(",")

    def shape(word: str) -> Shape:
        before, dots, after = word.partition("...")
        own = {letter: length if draw(st.booleans()) else 1 for letter, length in size.items()}
        inside = draw(st.sampled_from([middle, (1,) * len(middle), ()])) if dots else ()
        return (*(own[c] for c in before), *inside, *(own[c] for c in after))

    return tuple(map(shape, words)), {"subscripts": subscripts}


@st.composite
def linear_shapes(draw: Any) -> Given:
    lead, inputs, outputs = draw(hnp.array_shapes(min_dims=0, max_dims=2, max_side=3)), draw(lengths), draw(lengths)
    bias = ((outputs,),) if draw(st.booleans()) else ()
    return ((*lead, inputs), (outputs, inputs), *bias), {}


@st.composite
def fed(draw: Any) -> Given:
    lead, inputs, width, outputs = (
        draw(hnp.array_shapes(min_dims=0, max_dims=2, max_side=3)),
        *draw(st.tuples(lengths, lengths, lengths)),
    )
    return ((*lead, inputs), (2 * width, inputs), (outputs, width)), {}


@st.composite
def grouped(draw: Any) -> Given:
    counts = np.array(draw(st.lists(st.integers(0, 3), min_size=1, max_size=4)))
    inputs, outputs = draw(lengths), draw(lengths)
    bias = ((len(counts), outputs),) if draw(st.booleans()) else ()
    return ((int(counts.sum()), inputs), (len(counts), outputs, inputs), *bias), {"counts": counts}


@st.composite
def looks(draw: Any) -> Given:
    """Queries, keys and values; sometimes a mask that gets a gradient, one that does not, or none."""
    batch, groups, share, time, past, width = (draw(st.integers(1, 3)) for _ in range(6))
    causal, kind = draw(st.booleans()), draw(st.sampled_from(["none", "additive", "boolean"]))
    has_heads = draw(st.sampled_from([True, False]))  # their axis may be left out
    groups, share = (groups, share) if has_heads else (1, 1)
    heads, total, texts = groups * share, time + past - 1, draw(st.sampled_from([batch, batch, 1]))  # 1 is for all
    masks = [(time, total), (batch, 1, 1, total), (batch, heads, time, total)]
    mask_shape = draw(st.sampled_from(masks if has_heads else masks[1:]))
    query, key = (batch, heads, time, width), (texts, groups, total, width)
    tensors = (query, key, (*key[:3], draw(st.integers(1, 3))))
    if not has_heads:
        *tensors, mask_shape = ((x[0], *x[2:]) for x in (*tensors, mask_shape))
    drawn: dict[str, Any] = {"is_causal": causal, "scale": draw(st.sampled_from([None, 0.3]))}
    if draw(st.booleans()):
        drawn["dropout_p"] = 0.3
    if kind == "boolean":
        drawn["mask"] = numbers(draw(seeds), mask_shape, 3) > 0
    return (*tensors, *([mask_shape] if kind == "additive" else [])), drawn


@st.composite
def ragged(draw: Any) -> Given:
    """Queries, and keys and values in rows of unlike lengths, with room behind them; sometimes a mask."""
    batch, groups, share, time, width, room = (draw(st.integers(1, 3)) for _ in range(6))
    lengths = np.array(draw(st.lists(st.integers(time, time + 2), min_size=batch, max_size=batch)))
    keys = (batch, groups, int(lengths.max()) + room, width)
    mask_shape = (draw(st.sampled_from([1, batch])), groups * share, time, int(lengths.max()))
    drawn: dict[str, Any] = {"is_causal": draw(st.booleans()), "scale": draw(st.sampled_from([None, 0.3]))}
    masks = [mask_shape] if draw(st.booleans()) else []
    return ((batch, groups * share, time, width), keys, keys, *masks), {"lengths": lengths, **drawn}


def attended_by_row(query: Any, key: Any, value: Any, mask: Any = None, *, lengths: Any, **options: Any) -> Any:
    rows = []
    for row, length in enumerate(lengths):
        one = None if mask is None else mask[min(row, len(mask) - 1), None, ..., mask.shape[-1] - length :]
        parts = query[row, None], key[row, None, :, :length], value[row, None, :, :length]
        rows.append(attended(*parts, one, **options))
    return np.concatenate(rows)


@st.composite
def classified(draw: Any, from_weights: bool, **more: st.SearchStrategy[Any]) -> Given:
    lead, classes = draw(hnp.array_shapes(min_dims=0, max_dims=2, min_side=0, max_side=4)), draw(st.integers(2, 5))
    targets = numbers(draw(seeds), lead, classes + 1)
    targets = np.where(targets == classes, -100, targets)
    rest = {name: draw(strategy) for name, strategy in more.items()}
    width = draw(lengths)
    biases = ((classes,),) if from_weights and draw(st.booleans()) else ()
    shapes = ((*lead, width), (classes, width), *biases) if from_weights else ((*lead, classes),)
    return shapes, {"targets": targets, **rest}


@st.composite
def judged(draw: Any, **more: st.SearchStrategy[Any]) -> Given:
    """As above, without a linear layer: targets, or a share of each class; sometimes classes have weights."""
    kind = draw(st.sampled_from(["targets", "targets", "weights", "shares", "shares, weights"]))
    (shape,), drawn = draw(classified(False, **more))
    if "weights" in kind:
        drawn["weight"] = 0.2 + np.random.default_rng(draw(seeds)).random(shape[-1])
    if "shares" in kind:
        return (shape, shape), {name: value for name, value in drawn.items() if name != "targets"}
    return (shape,), drawn


@st.composite
def turned(draw: Any) -> Given:
    batch, heads, time, half = (draw(st.integers(1, 3)) for _ in range(4))
    starts = draw(st.none() | st.lists(st.integers(0, 5), min_size=batch, max_size=batch))  # None: one for all
    places = np.arange(time) if starts is None else np.add.outer(starts, np.arange(time))[:, None]
    angles = np.multiply.outer(places, np.linspace(0.3, 1.7, half))
    return ((batch, heads, time, 2 * half),), {"angles": angles, "heads": draw(st.none() | st.integers(0, heads))}


@st.composite
def table(draw: Any) -> Given:
    rows = draw(st.integers(1, 6))
    ids = numbers(draw(seeds), draw(hnp.array_shapes(min_dims=0, max_dims=2, min_side=0, max_side=4)), rows)
    return ((rows, draw(lengths)),), {"ids": ids}


# References


def softmaxed(x: np.ndarray, axis: int = -1) -> np.ndarray:
    lines = np.moveaxis(x, axis, -1)
    out = np.empty_like(lines)
    for place in np.ndindex(lines.shape[:-1]):
        e = [math.exp(v) for v in lines[place]]
        out[place] = [v / math.fsum(e) for v in e]
    return np.moveaxis(out, -1, axis)


def attended(
    q: Any, k: Any, v: Any, mask: Any = None, is_causal: bool = False, scale: float | None = None, dropout_p: float = 0
) -> np.ndarray | None:
    if dropout_p:
        return None  # only the op knows which weights it dropped
    if q.ndim == 3:
        by_texts = mask[:, None] if mask is not None and mask.ndim == 3 else mask
        out = attended(q[:, None], k[:, None], v[:, None], by_texts, is_causal, scale)
        return None if out is None else out[:, 0]
    k, v = (np.broadcast_to(x, (len(q), *x.shape[1:])) for x in (k, v))
    out = np.zeros((*q.shape[:3], v.shape[3]))
    share, past = q.shape[1] // k.shape[1], k.shape[2] - q.shape[2]
    mask = np.broadcast_to(np.zeros(1) if mask is None else mask, (*q.shape[:3], k.shape[2]))
    for b, h, t in np.ndindex(q.shape[:3]):
        seen = [
            j
            for j in range(k.shape[2])
            if (j <= past + t or not is_causal) and (mask.dtype != bool or mask[b, h, t, j])
        ]
        if seen:
            scores = k[b, h // share, seen] @ q[b, h, t] * (scale or 1 / math.sqrt(q.shape[3]))
            weights = softmaxed(scores + (0 if mask.dtype == bool else mask[b, h, t, seen]))
            out[b, h, t] = weights @ v[b, h // share, seen]
    return out


def turned_by(x: np.ndarray, angles: np.ndarray, heads: int | None) -> np.ndarray:
    half = x.shape[3] // 2
    z = (x[..., :half] + 1j * x[..., half:]) * np.exp(1j * angles)
    out = np.concatenate([z.real, z.imag], -1)
    out[:, x.shape[1] if heads is None else heads :] = x[:, x.shape[1] if heads is None else heads :]
    return out


def entropies(
    logits: np.ndarray,
    *shares: np.ndarray,
    targets: Any = None,
    weight: Any = None,
    label_smoothing: float = 0,
    z_loss: float = 0,
    reduction: str = "sum",
) -> Any:
    """Of targets, or of the share that each class has."""
    classes, losses, count = logits.shape[-1], np.zeros(logits.shape[:-1]), 0.0
    weight = np.ones(classes) if weight is None else weight
    for place in np.ndindex(losses.shape):
        if shares or targets[place] >= 0:
            row = logits[place]
            z = math.log(math.fsum(math.exp(v) for v in row))
            target = shares[0][place] if shares else np.eye(classes)[targets[place]]
            wanted = weight * ((1 - label_smoothing) * target + label_smoothing / classes)
            losses[place] = wanted @ (z - row) + z_loss * z**2
            count += 1 if shares else weight[targets[place]]
    return told(losses, reduction, count)


def told(losses: np.ndarray, reduction: str, count: float | None = None) -> Any:
    if reduction == "none":
        return losses
    total = math.fsum(losses.reshape(-1))
    return total if reduction == "sum" else total / ((losses.size if count is None else count) or 1)


def scattered_sum(x: np.ndarray, source: np.ndarray, indices: np.ndarray, axis: int) -> np.ndarray:
    out = x.copy()
    for place in np.ndindex(indices.shape):
        to = list(place)
        to[axis] = indices[place]
        out[tuple(to)] += source[place]
    return out


def index_sum(x: np.ndarray, source: np.ndarray, indices: np.ndarray, axis: int) -> np.ndarray:
    out = np.moveaxis(x.copy(), axis, 0)
    for i, row in zip(indices, np.moveaxis(source, axis, 0), strict=True):
        out[i] += row
    return np.moveaxis(out, 0, axis)


def gated(x: np.ndarray) -> np.ndarray:
    gate, up = np.split(x, 2, -1)
    return gate * up / (1 + np.exp(-gate))


def normal_below(x: np.ndarray) -> np.ndarray:
    return np.array([0.5 * math.erfc(-v / math.sqrt(2)) for v in x.reshape(-1)]).reshape(x.shape)


def in_order(x: np.ndarray, axis: int, descending: bool) -> np.ndarray:
    return -np.sort(-x, axis=axis) if descending else np.sort(x, axis=axis)


def centred(x: np.ndarray, axis: Any, keepdims: bool, ddof: int = 0) -> np.ndarray:
    """The variance by the other formula: the mean of squares less the square of the mean."""
    axes = tuple(range(x.ndim)) if axis is None else axis
    n = np.ones_like(x).sum(axis=axes, keepdims=keepdims)
    return ((x**2).sum(axis=axes, keepdims=keepdims) - x.sum(axis=axes, keepdims=keepdims) ** 2 / n) / (n - ddof)


def window_list(x: np.ndarray, axis: int, size: int, step: int) -> np.ndarray:
    return np.lib.stride_tricks.sliding_window_view(x, size, axis)[
        tuple(slice(None, None, step) if i == axis % x.ndim else slice(None) for i in range(x.ndim))
    ]


def first_place(x: np.ndarray, axis: int, keepdims: bool) -> np.ndarray:
    found = np.apply_along_axis(lambda line: line.tolist().index(max(line.tolist())), axis, x)
    return np.expand_dims(found, axis) if keepdims else found


def stable_order(x: np.ndarray, axis: int, descending: bool) -> np.ndarray:
    sign = -1 if descending else 1
    return np.apply_along_axis(lambda line: sorted(range(len(line)), key=lambda i: sign * line[i]), axis, x)


def picked(seed: int, shape: Shape) -> np.ndarray:
    return numbers(seed, shape, 2).astype(bool)


def tiled(x: np.ndarray, reps: tuple[int, ...]) -> np.ndarray:
    for axis, count in enumerate(reversed(reps)):
        x = x[None] if axis >= x.ndim else x
        x = np.concatenate([x] * count + [x[(*(slice(None),) * (x.ndim - axis - 1), slice(0))]], axis=-axis - 1)
    return x


def framed(x: np.ndarray, pad_width: list[tuple[int, int]], value: float) -> np.ndarray:
    out = np.full([n + a + b for n, (a, b) in zip(x.shape, pad_width, strict=True)], value)
    out[tuple(slice(a, a + n) for n, (a, _) in zip(x.shape, pad_width, strict=True))] = x
    return out


def multiplied(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    left = "k" if a.ndim == 1 else "...ik"
    right = "k" if b.ndim == 1 else "...kj"
    out = ("..." if a.ndim > 1 or b.ndim > 1 else "") + ("i" if a.ndim > 1 else "") + ("j" if b.ndim > 1 else "")
    return np.einsum(f"{left},{right}->{out}", a, b)


def layer_normed(x: np.ndarray, gain: np.ndarray, *bias: np.ndarray) -> np.ndarray:
    mean = np.mean(x, -1, keepdims=True)
    return (x - mean) / np.sqrt(np.mean(x**2, -1, keepdims=True) - mean**2 + 1e-5) * gain + (bias[0] if bias else 0)


def pairwise(name: str, reference: Callable[..., Any], **rest: Any) -> tuple[str, Case]:
    return case(name, two, reference, **rest)


def question(name: str, inputs: Any, reference: Callable[..., Any], **rest: Any) -> tuple[str, Case]:
    return case(name, inputs, reference, has_gradient=False, **rest)


square = plain(hnp.array_shapes(min_dims=2, max_dims=3, min_side=0, max_side=4).map(lambda shape: (shape,)))
last_even = plain(st.tuples(hnp.array_shapes(min_dims=0, max_dims=2, min_side=0, max_side=3), st.integers(0, 4)).map(
    lambda t: ((*t[0], 2 * t[1]),)))  # fmt: skip
tokens_by_experts = st.tuples(st.integers(1, 4), st.integers(2, 4)).map(lambda shape: (shape,))
constant = st.just(((), {}))
one_axis = plain(st.integers(0, 5).map(lambda n: ((n,),)))


three = plain(
    hnp.mutually_broadcastable_shapes(num_shapes=3, min_side=0, max_side=3, max_dims=2).map(lambda d: d.input_shapes)
)


@st.composite
def bounded(draw: Any) -> Given:
    """x with numbers for bounds, or with arrays that broadcast for one of them or for both; they may cross."""
    which = draw(st.sampled_from([(), ("min",), ("max",), ("min", "max")]))
    if not which:
        return (draw(shapes),), {"min": draw(st.sampled_from([None, -0.5])), "max": draw(st.sampled_from([0.5, 1.0]))}
    drawn = hnp.mutually_broadcastable_shapes(num_shapes=1 + len(which), min_side=0, max_side=3, max_dims=2)
    return draw(drawn).input_shapes, {"which": which}


def clamped(x: np.ndarray, *bounds: np.ndarray, which: Any = ("min", "max"), **numbers: Any) -> np.ndarray:
    given = dict(zip(which, bounds, strict=False)) | numbers
    low, high = given.get("min"), given.get("max")
    risen = x if low is None else np.where(x < low, low, x)
    return risen if high is None else np.where(risen > high, high, risen)


@st.composite
def halves(draw: Any) -> Given:
    """A shape and one of its axes, which is even."""
    (shape,), drawn = draw(along())
    axis = drawn["axis"] % len(shape)
    return ((*shape[:axis], 2 * shape[axis], *shape[axis + 1 :]),), drawn


@st.composite
def put(draw: Any) -> Given:
    shape = draw(full_with_axes)
    index = (numbers(draw(seeds), (3,), shape[0], -shape[0]),)
    return (shape, draw(st.sampled_from([(3, *shape[1:]), shape[1:], ()]))), {
        "index": index,
        "accumulate": draw(st.booleans()),
    }


@st.composite
def counted(draw: Any) -> Given:
    (shape,), drawn = draw(along())
    return (shape,), {**drawn, "counts": numbers(draw(seeds), (shape[drawn["axis"]],), 3)}


@st.composite
def masked(draw: Any) -> Given:
    shape = draw(shapes)
    mask = numbers(draw(seeds), shape, 2).astype(bool)
    count = math.prod(shape) + draw(st.integers(0, 2))
    return (shape, draw(st.sampled_from([(count,), (count, 1)]))), {"mask": mask}


@st.composite
def convolved(draw: Any) -> Given:
    groups, ins, outs, size, dilation = (draw(st.integers(1, 2)) for _ in range(5))
    time, batch = draw(st.integers(1 + dilation * (size - 1), 6)), draw(st.integers(1, 2))
    bias = ((groups * outs,),) if draw(st.booleans()) else ()
    return ((batch, groups * ins, time), (groups * outs, ins, size), *bias), {
        "stride": draw(st.integers(1, 2)),
        "padding": draw(st.integers(0, 2)),
        "dilation": dilation,
        "groups": groups,
    }


@st.composite
def channels(draw: Any) -> Given:
    groups, share = draw(st.integers(1, 3)), draw(st.integers(1, 2))
    rest = draw(hnp.array_shapes(min_dims=1, max_dims=2, max_side=3))
    few = ((groups * share,),) * draw(st.integers(0, 2))
    return ((2, groups * share, *rest), *few), {"num_groups": groups}


@st.composite
def quantiles(draw: Any) -> Given:
    shape = draw(full_with_axes)
    axis = draw(st.none() | st.integers(-len(shape), len(shape) - 1))
    q = draw(st.sampled_from([0.0, 0.3, 0.5, 1.0, [0.25, 0.9]]))
    return (shape,), {"q": q, "axis": axis, "keepdims": draw(st.booleans())}


def convolution(
    x: np.ndarray, w: np.ndarray, *b: np.ndarray, stride: int, padding: int, dilation: int, groups: int
) -> Any:
    x = np.pad(x, [(0, 0), (0, 0), (padding, padding)])
    share, steps = len(w) // groups, (x.shape[2] - dilation * (w.shape[2] - 1) - 1) // stride + 1
    out = np.zeros((len(x), len(w), steps))
    for n, o, t in np.ndindex(out.shape):
        first = o // share * w.shape[1]
        seen = x[n, first : first + w.shape[1], t * stride : t * stride + dilation * (w.shape[2] - 1) + 1 : dilation]
        out[n, o, t] = np.sum(seen * w[o]) + (b[0][o] if b else 0)
    return out


def group_normed(x: np.ndarray, *rest: np.ndarray, num_groups: int) -> np.ndarray:
    out = np.concatenate([
        (part - part.mean(axis=tuple(range(1, x.ndim)), keepdims=True))
        / np.sqrt(part.var(axis=tuple(range(1, x.ndim)), keepdims=True) + 1e-5)
        for part in np.split(x, num_groups, 1)
    ], 1)  # fmt: skip
    weight, bias = (*rest, *[np.ones(1), np.zeros(1)][len(rest) :])
    last = (-1, *(1,) * (x.ndim - 2))
    return out * weight.reshape(last) + bias.reshape(last)


def scattered_by(
    x: np.ndarray, source: np.ndarray, indices: np.ndarray, axis: int, reduce: str, include_self: bool
) -> Any:
    meets: dict[Shape, list[float]] = {}
    for place in np.ndindex(indices.shape):
        to = list(place)
        to[axis] = int(indices[place]) % x.shape[axis]
        meets.setdefault(tuple(to), []).append(source[place])
    out = x.copy()
    make = {"sum": sum, "prod": math.prod, "mean": lambda v: sum(v) / len(v), "amax": max, "amin": min}[reduce]
    for to, values in meets.items():
        out[to] = make([*([x[to]] if include_self else []), *values])
    return out


def scattered_last(x: np.ndarray, source: np.ndarray, indices: np.ndarray, axis: int) -> np.ndarray:
    out = x.copy()
    for place in np.ndindex(indices.shape):
        to = list(place)
        to[axis] = indices[place]
        out[tuple(to)] = source[place]
    return out


def index_copied(x: np.ndarray, source: np.ndarray, indices: np.ndarray, axis: int) -> np.ndarray:
    out = np.moveaxis(x.copy(), axis, 0)
    for i, row in zip(indices, np.moveaxis(source, axis, 0), strict=True):
        out[i] = row
    return np.moveaxis(out, 0, axis)


def put_at(x: np.ndarray, values: np.ndarray, index: Any, accumulate: bool) -> np.ndarray:
    out, rows = x.copy(), np.broadcast_to(values, (3, *x.shape[1:]))
    for i, row in zip(index[0], rows, strict=True):
        out[i] = out[i] + row if accumulate else row
    return out


def masked_in(x: np.ndarray, source: np.ndarray, mask: np.ndarray) -> np.ndarray:
    values = iter(source.reshape(-1))
    return np.array([next(values) if m else v for v, m in zip(x.flat, mask.flat, strict=True)]).reshape(x.shape)


def running(x: np.ndarray, axis: int, step: Callable[[Any, Any], Any]) -> np.ndarray:
    lines = np.moveaxis(x.copy(), axis, 0)
    for i in range(1, len(lines)):
        lines[i] = step(lines[i - 1], lines[i])
    return np.moveaxis(lines, 0, axis)


def lengths_of(x: np.ndarray, ord: float, axis: Any, keepdims: bool) -> Any:
    axes = tuple(range(x.ndim)) if axis is None else axis
    size = np.abs(x)
    if ord == 0:
        return np.sum(size > 0, axis=axes, keepdims=keepdims) * 1.0
    if math.isinf(ord):
        return (np.max if ord > 0 else np.min)(size, axis=axes, keepdims=keepdims)
    return np.exp(np.log(np.sum(np.exp(ord * np.log(size)), axis=axes, keepdims=keepdims)) / ord)


CLASS_WEIGHTS = np.array([0.5, 2.0, 1.0, 0.3, 1.5])


def class_weighted(x: np.ndarray, targets: np.ndarray, reduction: str) -> Any:
    each = np.where(targets < 0, 0, CLASS_WEIGHTS[targets])
    losses = each * -np.log(np.take_along_axis(softmaxed(x), np.maximum(targets, 0)[..., None], -1))[..., 0]
    return told(losses, reduction) if reduction != "mean" else losses.sum() / (each.sum() or 1)


def of_probability(x: np.ndarray) -> np.ndarray:
    return 0.05 + 0.9 / (1 + np.exp(-x))


def away_from_one(x: np.ndarray) -> np.ndarray:
    """Not near -1, 0 and 1."""
    return np.sign(away_from_zero(x)) * np.where(np.abs(x) < 1, 0.1 + 0.8 * np.abs(x), np.abs(x) + 0.1)


CASES = dict([
    # arithmetic
    pairwise("add", lambda a, b: a + b), pairwise("sub", lambda a, b: a - b), pairwise("mul", lambda a, b: a * b),
    pairwise("div", lambda a, b: a * (1 / b), values=away_from_zero),
    pairwise("pow", lambda a, b: np.exp(b * np.log(a)), values=positive),
    pairwise("maximum", lambda a, b: np.where(a > b, a, b), distinct=True),
    pairwise("minimum", lambda a, b: np.where(a < b, a, b), distinct=True),
    pairwise("floor_divide", lambda a, b: np.floor(a / b), values=(between_integers, half)),
    pairwise("remainder", lambda a, b: a - b * np.floor(a / b), values=(between_integers, half)),
    case("neg", one, lambda x: 0 - x),
    case("abs", one, lambda x: np.sqrt(x * x), values=away_from_zero),
    case("clamp", bounded(), clamped, values=between_integers, call=lambda x, *bounds, which=(), **numbers: F.clamp(
         x, **dict(zip(which, bounds, strict=True)), **numbers)),
    case("where", options(two, seed=seeds), lambda a, b, seed: np.array(picked(seed, np.broadcast(a, b).shape) * a + ~picked(seed, np.broadcast(a, b).shape) * b),
         call=lambda a, b, seed: F.where(picked(seed, np.broadcast_shapes(a.shape, b.shape)), a, b)),
    case("masked_fill", options(one, seed=seeds), lambda x, seed: x - (x + 2) * picked(seed, x.shape),
         call=lambda x, seed: F.masked_fill(x, picked(seed, x.shape), -2.0)),
    case("fmod", two, lambda a, b: a - b * np.trunc(a / b), values=(between_integers, half)),
    case("lerp", three, lambda a, b, w: a * (1 - w) + b * w), pairwise("logaddexp", lambda a, b: np.log(np.exp(a) + np.exp(b))),
    pairwise("atan2", lambda y, x: np.angle(x + 1j * y), values=away_from_zero),
    # masks and bits
    question("logical_and", same_two, lambda a, b: a * b != 0, values=np.round), question("logical_or", same_two, lambda a, b: np.abs(a) + np.abs(b) > 0, values=np.round),
    question("logical_xor", same_two, lambda a, b: (a == 0) != (b == 0), values=np.round), question("logical_not", one, lambda x: x == 0, values=np.round),
    question("bitwise_and", same_two, lambda a, b: (a > 0) * (b > 0) == 1, call=lambda a, b: F.bitwise_and(a > 0, b > 0)),
    question("bitwise_or", same_two, lambda a, b: (a > 0) + (b > 0) != 0, call=lambda a, b: F.bitwise_or(a > 0, b > 0)),
    question("bitwise_xor", same_two, lambda a, b: (a > 0) != (b > 0), call=lambda a, b: F.bitwise_xor(a > 0, b > 0)),
    question("bitwise_not", one, lambda x: x <= 0, call=lambda x: F.bitwise_not(x > 0)),
    question("isinf", one, lambda x: np.abs(x) > 9, values=lambda x: np.where(x > 1, np.inf, np.where(x < -1, -np.inf, x))),
    question("isclose", same_two, lambda a, b: np.abs(a - b) <= 0.1 + 0.5 * np.abs(b), call=lambda a, b: F.isclose(a, b, rtol=0.5, atol=0.1), values=np.round),
    # elementwise
    case("trunc", one, lambda x: np.sign(x) * (np.abs(x) // 1), values=between_integers), case("exp2", one, lambda x: 2**x),
    case("log2", one, lambda x: np.log(x) / math.log(2), values=positive), case("log10", one, lambda x: np.log(x) / math.log(10), values=positive),
    case("reciprocal", one, lambda x: x**-1, values=away_from_zero), case("square", one, lambda x: x**2),
    case("tan", one, lambda x: np.sin(x) / np.cos(x), values=lambda x: np.tanh(x)),
    case("sinh", one, lambda x: (np.exp(x) - np.exp(-x)) / 2), case("cosh", one, lambda x: (np.exp(x) + np.exp(-x)) / 2),
    case("nan_to_num", one, lambda x: np.where(x != x, 0.5, x), call=lambda x: F.nan_to_num(x, nan=0.5)),
    case("exp", one, lambda x: math.e**x), case("expm1", one, lambda x: 2 * np.exp(x / 2) * np.sinh(x / 2)),
    case("log", one, lambda x: np.log2(x) * math.log(2), values=positive),
    case("log1p", one, lambda x: np.log2(1 + x) * math.log(2), values=positive),
    case("sqrt", one, lambda x: x**0.5, values=positive), case("rsqrt", one, lambda x: x**-0.5, values=positive),
    case("sin", one, lambda x: np.exp(1j * x).imag), case("cos", one, lambda x: np.exp(1j * x).real),
    case("erf", one, lambda x: 1 - 2 * normal_below(-x * math.sqrt(2))),
    case("sign", one, lambda x: (x > 0) * 1.0 - (x < 0), values=away_from_zero),
    case("floor", one, lambda x: x // 1, values=between_integers), case("ceil", one, lambda x: -(-x // 1), values=between_integers),
    case("round", one, lambda x: (x + 0.5) // 1, values=between_integers),
    # activation
    case("sigmoid", one, lambda x: 1 / (1 + np.exp(-x))), case("tanh", one, lambda x: np.sinh(x) / np.cosh(x)),
    case("relu", one, lambda x: np.where(x > 0, x, 0), values=away_from_zero),
    case("silu", one, lambda x: x / (1 + np.exp(-x))), case("softplus", one, lambda x: np.log(1 + np.exp(x))),
    case("gelu", options(one, approximate=st.sampled_from(["none", "tanh"])), lambda x, approximate: x * normal_below(x)
         if approximate == "none" else x / (1 + np.exp(-2 * np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))),
    case("swiglu", last_even, gated),
    case("logsigmoid", one, lambda x: -np.log(1 + np.exp(-x))), case("mish", one, lambda x: x * np.tanh(np.log(1 + np.exp(x)))),
    case("leaky_relu", options(one, negative_slope=st.sampled_from([0.01, 0.3])), lambda x, negative_slope: np.maximum(x, 0) + negative_slope * np.minimum(x, 0), values=away_from_zero),
    case("elu", options(one, alpha=st.sampled_from([1.0, 0.3])), lambda x, alpha: np.where(x > 0, x, alpha * (np.exp(x) - 1)), values=away_from_zero),
    case("glu", halves(), lambda x, axis: np.split(x, 2, axis)[0] / (1 + np.exp(-np.split(x, 2, axis)[1]))),
    case("softmax", along(full_with_axes), softmaxed), case("log_softmax", along(full_with_axes), lambda x, axis: np.log(softmaxed(x, axis))),
    case("logsumexp", reduced(filled), lambda x, axis, keepdims: np.log(np.sum(np.exp(x), axis=axis, keepdims=keepdims))),
    # questions
    question("eq", same_two, lambda a, b: ~((a < b) | (a > b)), values=np.round), question("ne", same_two, lambda a, b: (a < b) | (a > b), values=np.round),
    question("lt", same_two, lambda a, b: ~(a >= b), values=np.round), question("le", same_two, lambda a, b: ~(a > b), values=np.round),
    question("gt", same_two, lambda a, b: ~(a <= b), values=np.round), question("ge", same_two, lambda a, b: ~(a < b), values=np.round),
    question("isnan", one, lambda x: x != x, values=lambda x: np.where(x > 1, np.nan, x)),
    question("isfinite", one, lambda x: np.abs(x) < 9, values=lambda x: np.where(x > 1, np.inf, np.where(x < -1, np.nan, x))),
    question("any", reduced(shapes), lambda x, axis, keepdims: np.sum(x != 0, axis=axis, keepdims=keepdims) > 0, values=np.round),
    question("all", reduced(shapes), lambda x, axis, keepdims: np.sum(x == 0, axis=axis, keepdims=keepdims) == 0, values=np.round),
    question("argmax", along(full_with_axes, keepdims=st.booleans()), lambda x, axis, keepdims: first_place(x, axis, keepdims), values=np.round),
    question("argmin", along(full_with_axes, keepdims=st.booleans()), lambda x, axis, keepdims: first_place(-x, axis, keepdims), values=np.round),
    question("argsort", along(full_with_axes, descending=st.booleans()), stable_order, values=np.round),
    question("one_hot", st.tuples(seeds, shapes).map(lambda t: ((), {"ids": numbers(t[0], t[1], 4), "classes": 4})),
             lambda ids, classes: (ids[..., None] == np.arange(classes)) * 1.0),
    # reductions
    case("sum", reduced(shapes), lambda x, axis, keepdims: np.add.reduce(x, axis=axis, keepdims=keepdims)),
    case("mean", reduced(filled), lambda x, axis, keepdims: np.average(x, axis=axis, keepdims=keepdims)),
    case("var", reduced(filled), centred),
    case("std", reduced(hnp.array_shapes(max_dims=3, min_side=2, max_side=4)).filter(lambda given: given[1]["axis"] != ()),
         lambda x, **o: centred(x, **o) ** 0.5, distinct=True),
    case("norm", reduced(filled, ord=st.sampled_from([0, 2, 1, 3, 0.5, math.inf, -math.inf])), lengths_of, values=away_from_zero, distinct=True),
    case("max", reduced(filled), lambda x, axis, keepdims: -np.min(-x, axis=axis, keepdims=keepdims), distinct=True),
    case("min", reduced(filled), lambda x, axis, keepdims: -np.max(-x, axis=axis, keepdims=keepdims), distinct=True),
    case("prod", reduced(shapes), lambda x, axis, keepdims: np.multiply.reduce(x, axis=axis, keepdims=keepdims)),
    case("cumsum", along(), lambda x, axis: np.add.accumulate(x, axis=axis)),
    case("cumprod", along(), lambda x, axis: np.multiply.accumulate(x, axis=axis), values=some_zeros),
    case("cummax", along(), lambda x, axis: running(x, axis, np.maximum), call=lambda x, axis: F.cummax(x, axis)[0], distinct=True),
    case("cummin", along(), lambda x, axis: running(x, axis, np.minimum), call=lambda x, axis: F.cummin(x, axis)[0], distinct=True),
    question("cumulative_argmax", along(full_with_axes), lambda x, axis: np.apply_along_axis(
        lambda line: [max(range(i + 1), key=lambda j: (line[j], j)) for i in range(len(line))], axis, x), values=np.round),
    case("logcumsumexp", along(), lambda x, axis: np.log(np.add.accumulate(np.exp(x), axis=axis))),
    case("quantile", quantiles(), lambda x, q, axis, keepdims: np.quantile(x, q, axis=axis, keepdims=keepdims), distinct=True),
    case("median", quantiles().map(lambda g: (g[0], {k: v for k, v in g[1].items() if k != "q"})), lambda x, axis, keepdims: np.median(x, axis=axis, keepdims=keepdims), distinct=True),
    # shape
    case("reshape", reshaped(), lambda x, shape: np.array(list(x.flat)).reshape(shape)),
    case("flatten", flattened(), lambda x, start_axis, end_axis: np.array(list(x.flat)).reshape(
        *x.shape[:start_axis], math.prod(x.shape[start_axis : end_axis % x.ndim + 1]), *x.shape[end_axis % x.ndim + 1 :])),
    case("transpose", transposed(), lambda x, axes: np.einsum(x, list(range(x.ndim)), [a % x.ndim for a in axes] if axes is not None else list(range(x.ndim))[::-1])),
    case("swapaxes", swapped(), lambda x, axis1, axis2: np.swapaxes(x, axis2, axis1)),
    case("squeeze", squeezed(), lambda x, axis: np.squeeze(x, axis)), case("expand_dims", expanded(), lambda x, axis: np.stack([x], axis=axis)),
    case("broadcast_to", broadcast(), lambda x, shape: x + np.zeros(shape)),
    case("concatenate", joined(), lambda *xs, axis: np.concatenate(xs, axis)),
    case("stack", stacked(), lambda *xs, axis: np.concatenate([np.expand_dims(x, axis) for x in xs], axis)),
    case("split", cut(), lambda x, sections, axis: np.concatenate([p * (i + 1) for i, p in enumerate(np.split(x, sections, axis))], axis),
         call=lambda x, sections, axis: F.concatenate([p * (i + 1.0) for i, p in enumerate(F.split(x, sections, axis))], axis=axis)),
    case("flip", flipped(), lambda x, axis: x[tuple(slice(None, None, -1) if axis is None or i in [a % x.ndim for a in axis] else slice(None) for i in range(x.ndim))]),
    case("roll", rolled(), lambda x, shift, axis: np.take(x, (np.arange(x.shape[axis]) - shift) % max(x.shape[axis], 1), axis) if axis is not None
         else np.array([x.flat[(i - shift) % x.size] for i in range(x.size)]).reshape(x.shape)),
    case("repeat", along(repeats=st.integers(0, 3)), lambda x, repeats, axis: np.take(x, np.arange(x.shape[axis] * repeats) // max(repeats, 1), axis)),
    case("tile", options(one, reps=st.lists(st.integers(0, 3), max_size=4).map(tuple)), tiled),
    case("pad", padded(), lambda x, pad_width, value: framed(x, pad_width, value)),
    case("tril", options(square, k=st.integers(-2, 2)), lambda x, k: x * (np.subtract.outer(np.arange(x.shape[-2]), np.arange(x.shape[-1])) >= -k)),
    case("triu", options(square, k=st.integers(-2, 2)), lambda x, k: x * (np.subtract.outer(np.arange(x.shape[-2]), np.arange(x.shape[-1])) <= -k)),
    case("diagonal", diagonals(), lambda x, **where: np.diagonal(x, **where)),
    case("unfold", windows(), window_list), case("contiguous", one, np.positive), case("copy", one, np.positive),
    case("astype", one, np.positive, call=lambda x: F.astype(x, dtype=x.dtype)),
    case("to_device", one, np.positive, call=lambda x: F.to_device(x, device="cpu")),
    # indexing
    case("getitem", indexed(), lambda x, index: np.array(list(x.flat)).reshape(x.shape)[index]),
    case("setitem", assigned(), with_part),
    case("take", taken(), lambda x, indices, axis: np.moveaxis(np.array([np.moveaxis(x, axis, 0)[i] for i in indices.flat]).reshape(
        (*indices.shape, *np.delete(x.shape, axis))), range(indices.ndim), range(axis % x.ndim, axis % x.ndim + indices.ndim)),
        call=lambda x, indices, axis: F.take(x, indices, axis=axis)),
    case("take_along_axis", taken_along(), lambda x, indices, axis: np.array([x[(*p[: axis % x.ndim], i, *p[axis % x.ndim + 1 :])]
         for p, i in np.ndenumerate(indices)]).reshape(indices.shape), call=lambda x, indices, axis: F.take_along_axis(x, indices, axis=axis)),
    case("scatter_add", scattered(), scattered_sum, call=lambda x, source, indices, axis: F.scatter_add(x, indices, source, axis=axis)),
    case("index_add", index_added(), index_sum, call=lambda x, source, indices, axis: F.index_add(x, indices, source, axis=axis)),
    case("sort", along(full_with_axes, descending=st.booleans()), in_order, call=lambda x, **o: F.sort(x, **o)[0], distinct=True),
    case("topk", along(full_with_axes).map(lambda g: (g[0], {**g[1], "k": (g[0][0][g[1]["axis"]] + 1) // 2})),
         lambda x, axis, k: np.take(in_order(x, axis, True), range(k), axis), call=lambda x, axis, k: F.topk(x, k, axis)[0], distinct=True),
    case("scatter", scattered(), scattered_last, call=lambda x, source, indices, axis: F.scatter(x, indices, source, axis=axis)),
    case("scatter_reduce", st.tuples(scattered(), st.sampled_from(["sum", "prod", "mean", "amax", "amin"]), st.booleans()).map(
         lambda t: (t[0][0], {**t[0][1], "reduce": t[1], "include_self": t[2]})), scattered_by, distinct=True,
         call=lambda x, source, indices, **o: F.scatter_reduce(x, indices, source, **o)),
    case("index_copy", index_added(), index_copied, call=lambda x, source, indices, axis: F.index_copy(x, indices, source, axis=axis)),
    case("index_put", put(), put_at), case("masked_scatter", masked(), masked_in, call=lambda x, source, mask: F.masked_scatter(x, mask, source)),
    question("searchsorted", st.tuples(seeds, lengths).map(lambda t: (((t[1],),), {"line": np.sort(numbers(t[0], (4,), 5))})),
             lambda x, line: np.array([sum(v < a for v in line) for a in x]), call=lambda x, line: F.searchsorted(line, x), values=np.round),
    question("bincount", seeds.map(lambda seed: ((), {"ids": numbers(seed, (7,), 5)})), lambda ids: np.array([np.sum(ids == i) for i in range(max(6, ids.max() + 1))]),
             call=lambda ids: F.bincount(ids, minlength=6)),
    question("unique", one, lambda x: np.array(sorted(set(x.flat))), call=lambda x: F.unique(x), values=np.round),
    question("nonzero", one_axis, lambda x: np.array([i for i, v in enumerate(x) if v]), call=lambda x: F.nonzero(x)[0], values=np.round),
    question("tril_indices", constant, lambda: np.array([[0, 1, 1, 2, 2, 2], [0, 0, 1, 0, 1, 2]]), call=lambda: F.stack(F.tril_indices(3))),
    question("triu_indices", constant, lambda: np.array([[0, 0, 1], [1, 2, 2]]), call=lambda: F.stack(F.triu_indices(3, 1))),
    case("embedding", table(), lambda w, ids: np.array([w[i] for i in ids.flat]).reshape(*ids.shape, w.shape[1]), call=lambda w, ids: F.embedding(w, ids)),
    # products
    case("matmul", matrices(), multiplied), case("linear", linear_shapes(), lambda x, w, *b: np.tensordot(x, w, (-1, 1)) + (b[0] if b else 0)),
    case("swiglu_feed_forward", fed(), lambda x, gate, down: gated(np.tensordot(x, gate, (-1, 1))) @ down.T),
    case("grouped_linear", grouped(), lambda x, w, *b, counts: np.einsum("ni,noi->no", x, np.repeat(w, counts, 0)) + (np.repeat(b[0], counts, 0) if b else 0)),
    case("outer", plain(st.tuples(st.integers(0, 3), st.integers(0, 3)).map(lambda n: ((n[0],), (n[1],)))), lambda a, b: a[:, None] * b),
    case("einsum", equations(), lambda *xs, subscripts: np.einsum(subscripts, *xs), call=lambda *xs, subscripts: F.einsum(subscripts, *xs)),
    case("contract", equations(), lambda *xs, subscripts: np.einsum(subscripts, *xs), call=lambda *xs, subscripts: F.einsum(subscripts, *xs)),
    # network
    case("group_norm", channels(), group_normed),
    case("normalize", along(full_with_axes), lambda x, axis: x * np.sum(x**2, axis=axis, keepdims=True) ** -0.5, values=away_from_zero),
    case("cosine_similarity", plain(full_with_axes.map(lambda shape: (shape, shape))), lambda a, b: np.sum(
        a / np.sqrt(np.sum(a * a, -1, keepdims=True)) * b / np.sqrt(np.sum(b * b, -1, keepdims=True)), -1), values=away_from_zero),
    case("conv1d", convolved(), convolution),
    case("rms_norm", plain(normed), lambda x, g: g * x / np.sqrt(np.mean(x**2, -1, keepdims=True) + 1e-6)),
    case("layer_norm", plain(st.tuples(normed, st.booleans()).map(lambda t: (*t[0], *t[0][1:] * t[1]))), layer_normed),
    case("rotary", turned(), turned_by, call=lambda x, angles, heads: F.rotary(
        x, np.cos(angles).astype(x.dtype), np.sin(angles).astype(x.dtype), heads=heads)),
    case("scaled_dot_product_attention", looks(), attended),
    case("ragged_attention", ragged(), attended_by_row, has_gradient=False),
    case("dropout", options(one, p=st.sampled_from([0.0, 0.4])), None),
    # losses
    case("cross_entropy", judged(reduction=reductions, label_smoothing=st.sampled_from([0.0, 0.2]), z_loss=st.sampled_from([0.0, 0.1])),
         entropies, call=lambda x, *shares, targets=None, **o: F.cross_entropy(x, *(shares or [targets]), **o)),
    case("linear_cross_entropy", classified(True, reduction=reductions, label_smoothing=st.sampled_from([0.0, 0.2]), z_loss=st.sampled_from([0.0, 0.1])),
         lambda x, w, *b, **o: entropies(x @ w.T + (b[0] if b else 0), **o), call=lambda x, w, *b, targets, **o: F.linear_cross_entropy(x, w, targets, *b, **o)),
    case("nll_loss", classified(False, reduction=reductions), lambda x, targets, reduction: told(
        np.where(targets < 0, 0, -np.take_along_axis(x, np.maximum(targets, 0)[..., None], -1)[..., 0]), reduction, (targets >= 0).sum()),
        call=lambda x, targets, **o: F.nll_loss(x, targets, **o)),
    case("l1_loss", options(same_two, reduction=reductions), lambda a, b, reduction: told(np.sqrt((a - b) ** 2), reduction), values=(lambda x: x + 2 * np.sign(away_from_zero(x)), np.tanh)),
    case("huber_loss", options(same_two, reduction=reductions, delta=st.sampled_from([0.5, 2.0])), lambda a, b, reduction, delta: told(
        np.where(np.abs(a - b) < delta, (a - b) ** 2 / 2, delta * np.abs(a - b) - delta**2 / 2), reduction)),
    case("smooth_l1_loss", options(same_two, reduction=reductions, beta=st.sampled_from([0.5, 2.0])), lambda a, b, reduction, beta: told(
        np.where(np.abs(a - b) < beta, (a - b) ** 2 / 2 / beta, np.abs(a - b) - beta / 2), reduction)),
    case("binary_cross_entropy", options(same_two, reduction=reductions), lambda p, t, reduction: told(
        np.log((1 - p) / p) * t - np.log(1 - p), reduction), values=of_probability),
    case("mse_loss", options(same_two, reduction=reductions), lambda a, b, reduction: told(a * a - 2 * a * b + b * b, reduction)),
    case("binary_cross_entropy_with_logits", options(same_two, reduction=reductions, pos_weight=st.sampled_from([None, 3.0])), lambda x, t, reduction, pos_weight: told(
        -(pos_weight or 1) * t * np.log(1 / (1 + np.exp(-x))) - (1 - t) * np.log(1 / (1 + np.exp(x))), reduction)),
    case("kl_div", options(same_two, reduction=reductions, log_target=st.booleans()), lambda q, p, reduction, log_target: told(
        np.exp(p) * (p - q) if log_target else p * np.log(p / np.exp(q)), reduction), values=positive),
    # experts
    case("topk_routing", options(plain(tokens_by_experts), k=st.integers(1, 2), normalize=st.booleans()),
         lambda x, k, normalize: -np.sort(-softmaxed(x))[:, :k] / (-np.sort(-softmaxed(x))[:, :k].sum(-1, keepdims=True) if normalize else 1),
         call=lambda x, k, normalize: F.topk_routing(x, k, normalize=normalize)[0], distinct=True),
    case("load_balance_loss", plain(tokens_by_experts), lambda p: p.shape[1] * p.mean(0) @ np.bincount(p[0].argsort()[:1], minlength=p.shape[1]),
         call=lambda p: F.load_balance_loss(p, np.repeat(p.data[0].argsort()[:1], len(p))[:, None])),
    case("router_z_loss", plain(tokens_by_experts), lambda x: np.mean(np.log(np.exp(x).sum(-1)) ** 2)),
    # constants
    question("sinusoidal_positions", constant, lambda: np.array([[math.sin(t), math.cos(t), math.sin(t / 100), math.cos(t / 100)] for t in range(5)], np.float32),
             call=lambda: F.sinusoidal_positions(5, 4)),
    question("alibi_bias", constant, lambda: np.array([[[-s * abs(t + 1 - j) for j in range(3)] for t in range(2)] for s in (1 / 16, 1 / 256, 1 / 4)]),
             call=lambda: F.alibi_bias(3, 2, 3)),
    question("relative_position_buckets", constant, lambda: np.array([[0, 17, 18], [1, 0, 17], [2, 1, 0]]), call=lambda: F.relative_position_buckets(3, 3)),
])  # fmt: skip
