"""Hypothesis strategies for property-based tests of gradients. Needs the extra `testing`.

    @given(tensors(), seeds)
    def test_my_op(x, seed):
        gradcheck(my_op, x, seed=seed)

Hypothesis draws shapes, memory layouts and seeds; values come from a seeded generator, so that what fails shrinks to
something readable.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from scratchgrad.tensor import Tensor

Floats = np.ndarray[Any, Any]
Shapes = st.SearchStrategy[tuple[int, ...]]

LAYOUTS = ("C", "Fortran", "strided", "reversed", "broadcast")
seeds = st.integers(0, 2**32 - 1)
shapes = hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4)  # numbers and empty arrays included


def laid_out(x: Floats, layout: str) -> Floats:
    """The same values in other places of memory ("broadcast" repeats the first entry of the first axis instead)."""
    if not x.ndim:
        return x
    if layout == "Fortran":
        return np.asfortranarray(x)
    if layout == "strided":
        wide: Floats = np.repeat(x, 2, axis=-1)
        return wide[..., ::2]
    if layout == "reversed":
        return np.ascontiguousarray(x[..., ::-1])[..., ::-1]
    if layout == "broadcast" and x.shape[0]:
        return np.broadcast_to(x[:1], x.shape)
    return x


@st.composite
def tensors(
    draw: Any,
    /,
    shape: Shapes | tuple[int, ...] = shapes,
    values: Callable[[Floats], Floats] = lambda x: x,
    layouts: tuple[str, ...] = LAYOUTS,
) -> Tensor:
    """A float64 leaf that requires a gradient. values: maps normal numbers into the domain, and away from kinks."""
    drawn = draw(shape) if isinstance(shape, st.SearchStrategy) else shape
    numbers = np.random.default_rng(draw(seeds)).standard_normal(drawn)
    return Tensor(laid_out(values(np.asarray(numbers)), draw(st.sampled_from(layouts))), requires_grad=True)


@st.composite
def broadcastable(draw: Any, /, count: int = 2, **options: Any) -> tuple[Tensor, ...]:
    """`count` tensors whose shapes fit together by broadcasting; options as of `tensors`."""
    fitting = hnp.mutually_broadcastable_shapes(num_shapes=count, min_side=0, max_side=4, max_dims=3)
    return tuple(draw(tensors(shape, **options)) for shape in draw(fitting).input_shapes)


@settings(
    max_examples=20,
    derandomize=True,
    database=None,
    deadline=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
@given(st.lists(st.integers(), min_size=50, max_size=50))
def draw_once(_: list[int]) -> None:
    """Now and then Hypothesis draws a constant of the code under test, and at the first parses all of it that is no
    installed package, as we are not in an editable install. Done when this module is imported, it is no part of the
    drawing of a user's test, whose health check would call it too slow on a busy machine.
    """


draw_once()
