"""Tensors from nothing. Random ones are drawn by counter: `manual_seed` and the place in the program decide them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from scratchgrad import random
from scratchgrad.backend import array_module
from scratchgrad.backend import from_dlpack as _from_dlpack
from scratchgrad.tensor import Tensor


def tensor(data: Any, *, dtype: Any = None, requires_grad: bool = False) -> Tensor:
    """A copy of numbers, lists or an array. Python's numbers become float32, or int64 where all are integers."""
    copied = Tensor(data).data.copy() if not isinstance(data, Tensor) else data.data.copy()
    return Tensor(copied if dtype is None else copied.astype(dtype), requires_grad)


def zeros(*shape: int | Sequence[int], dtype: Any = np.float32, requires_grad: bool = False) -> Tensor:
    return Tensor(np.zeros(_shape(shape), dtype), requires_grad)


def ones(*shape: int | Sequence[int], dtype: Any = np.float32, requires_grad: bool = False) -> Tensor:
    return Tensor(np.ones(_shape(shape), dtype), requires_grad)


def full(shape: tuple[int, ...], value: float, dtype: Any = np.float32, requires_grad: bool = False) -> Tensor:
    return Tensor(np.full(shape, value, dtype), requires_grad)


def eye(rows: int, columns: int | None = None, dtype: Any = np.float32) -> Tensor:
    return Tensor(np.eye(rows, columns, dtype=dtype))


def arange(start: float, stop: float | None = None, step: float = 1, dtype: Any = None) -> Tensor:
    """From start (0 if only one number is given) to before stop; int64 for integers, float32 otherwise."""
    first, last = (0, start) if stop is None else (start, stop)
    numbers = np.arange(first, last, step, dtype=dtype)
    return Tensor(numbers.astype(np.float32) if dtype is None and numbers.dtype == np.float64 else numbers)


def zeros_like(t: Tensor) -> Tensor:
    """Zeros of the shape, dtype and device of t."""
    return Tensor(array_module(t.data).zeros_like(t.data))


def ones_like(t: Tensor) -> Tensor:
    """Ones of the shape, dtype and device of t."""
    return Tensor(array_module(t.data).ones_like(t.data))


def full_like(t: Tensor, value: float) -> Tensor:
    """One value in the shape, dtype and device of t."""
    return Tensor(array_module(t.data).full_like(t.data, value))


def rand(*shape: int | Sequence[int], requires_grad: bool = False) -> Tensor:
    """float32, even in [0, 1)."""
    return Tensor(random.next_generator(random.Purpose.USER).random(_shape(shape), dtype=np.float32), requires_grad)


def randn(*shape: int | Sequence[int], requires_grad: bool = False) -> Tensor:
    """float32 of the standard normal distribution."""
    draws = random.next_generator(random.Purpose.USER).standard_normal(_shape(shape), dtype=np.float32)
    return Tensor(draws, requires_grad)


def multinomial(probabilities: Tensor, count: int) -> Tensor:
    """(..., count) int64: classes drawn with replacement. probabilities (..., classes), not negative, of any sum."""
    weights = probabilities.numpy().astype(np.float64).cumsum(axis=-1)
    if not np.all(np.isfinite(weights) & (weights[..., -1:] > 0)) or np.any(probabilities.numpy() < 0):
        raise ValueError("multinomial() needs finite probabilities that are not negative and not all 0")
    draws = random.next_generator(random.Purpose.USER).random((*weights.shape[:-1], count)) * weights[..., -1:]
    chosen = (draws[..., None] >= weights[..., None, :]).sum(axis=-1)
    return Tensor(np.minimum(chosen, weights.shape[-1] - 1))  # a draw may round up to the sum


def bernoulli(probabilities: Tensor) -> Tensor:
    """1 with the probability that stands there and 0 otherwise, in the shape, dtype and device of `probabilities`."""
    values = probabilities.data
    if not bool(((values >= 0) & (values <= 1)).all()):
        raise ValueError("bernoulli() needs probabilities from 0 to 1")
    draws = array_module(values).asarray(_draws().random(probabilities.shape))
    return Tensor((draws < values).astype(values.dtype))


def rand_like(t: Tensor) -> Tensor:
    """Even between 0 and 1, in the shape, dtype and device of t."""
    return Tensor(array_module(t.data).asarray(_draws().random(t.shape, dtype=np.float32)).astype(t.dtype))


def randn_like(t: Tensor) -> Tensor:
    """Of the standard normal distribution, in the shape, dtype and device of t."""
    return Tensor(array_module(t.data).asarray(_draws().standard_normal(t.shape, dtype=np.float32)).astype(t.dtype))


def randint(low: int, high: int | None = None, shape: tuple[int, ...] = ()) -> Tensor:
    """int64, even from low (0 if only one bound is given) to below high."""
    first, last = (0, low) if high is None else (low, high)
    if last <= first:
        raise ValueError(f"randint(): no integer is {first} or more and below {last}")
    return Tensor(np.asarray(_draws().integers(first, last, shape)))


def linspace(start: float, stop: float, steps: int, dtype: Any = np.float32) -> Tensor:
    """`steps` numbers at equal distances, from start to stop, both included."""
    return Tensor(np.linspace(start, stop, steps).astype(dtype))


def _draws() -> np.random.Generator:
    return random.next_generator(random.Purpose.USER)


def from_dlpack(array: Any) -> Tensor:
    """A tensor on the memory of another library's array (PyTorch, CuPy, JAX, ...); nothing is copied."""
    return Tensor(_from_dlpack(array))


def _shape(lengths: tuple[Any, ...]) -> tuple[int, ...]:
    """zeros(2, 3) and zeros((2, 3)) are the same."""
    return tuple(lengths[0]) if len(lengths) == 1 and isinstance(lengths[0], Sequence) else lengths
