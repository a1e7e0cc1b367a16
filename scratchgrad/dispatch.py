"""The decorator that turns `arrays -> (value, backward)` into `tensors -> tensor`, and the kernels that serve it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import partial, wraps
from itertools import takewhile
from types import NotImplementedType
from typing import Any, Literal, TypeVar, cast, overload

import numpy as np

from scratchgrad.autograd import GRAD_ENABLED, WATCH, Backward, Node
from scratchgrad.backend import Array, Device, array_module, device_of
from scratchgrad.op_errors import not_an_array, not_an_op, op_error
from scratchgrad.operators import FUNCTIONS, OPS
from scratchgrad.promotion import FLOAT32, PYTHON_NUMBERS, Takes, promoted
from scratchgrad.pytorch_names import POSITIONAL, UNORDERED, in_our_words, spellings, too_many
from scratchgrad.tensor import Tensor

Result = tuple[Array, Backward | None]
Forward = Callable[..., Result]
KernelResult = Result | NotImplementedType  # NotImplemented: the kernel declines
Kernel = Callable[..., KernelResult]
Function = TypeVar("Function", bound=Callable[..., Any])
Precision = Literal["float32", "bf16"]  # of the operands of matrix products

SPECIFICATIONS: dict[str, Forward] = {}  # what every op computes, by name
KERNELS: dict[str, dict[Device, tuple[Kernel, ...]]] = {}  # those in use, by op and device, in the order of asking
REGISTERED: dict[Precision, dict[tuple[str, Device], Kernel]] = {"float32": {}, "bf16": {}}


@overload
def op(forward: Forward) -> Callable[..., Tensor]: ...
@overload
def op(*, takes: Takes) -> Callable[[Forward], Callable[..., Tensor]]: ...
def op(forward: Forward | None = None, *, takes: Takes = "numbers") -> Any:
    """Make an op of a function on raw arrays that returns its value and its backward (None: it has no gradient).

    The parameters before `*` are arrays (tensors, arrays or numbers when called), those after it are options, which may
    have PyTorch's names and, where their order is common knowledge, follow the arrays without a name. An op
    with an option `needs_input_grad` is given, array by array, whether a gradient is wanted. An op of `*arrays` can be
    given them one by one, or as one list. Floats of different dtypes are given to it as one (`scratchgrad.promotion`),
    half precisions as float32. One that takes "floats" is given its first array as a float even if that holds integers;
    one that takes "elements", which it only moves, is given half precisions as they are.
    """
    if forward is None:
        return partial(_op, takes=takes)
    return _op(forward, takes)


def _op(forward: Forward, takes: Takes) -> Callable[..., Tensor]:
    name = forward.__name__
    parameters = list(inspect.signature(forward).parameters.values())
    arrays = [p for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]
    takes_any = any(p.kind is p.VAR_POSITIONAL for p in parameters)
    needs_flags = any(p.name == "needs_input_grad" for p in parameters)
    names, least = [p.name for p in arrays], len(arrays)
    optional = [p.name for p in parameters if p.kind is p.KEYWORD_ONLY and p.name != "needs_input_grad"]
    spelled = spellings(name, optional, names)
    kernels = KERNELS.setdefault(name, {})
    float32, numbers = FLOAT32, PYTHON_NUMBERS
    new, ndarray, grad_enabled, watching = object.__new__, np.ndarray, GRAD_ENABLED.get, WATCH.get

    @wraps(forward)
    def apply(*args: Any, **options: Any) -> Tensor:
        if len(args) != least:
            if len(args) < least:
                args += tuple(_argument(name, p, options) for p in arrays[len(args) :])
            elif not takes_any:
                options |= _named(name, names, optional, args[least:], options)
                args = args[:least]
            elif isinstance(args[0], list | tuple):
                options |= _named(name, ["arrays"], optional, args[1:], options)
                args = tuple(args[0])
        values, inputs, wanted = [], [], False
        single, other = False, False  # are there tensors of float32, is there anything else than those and numbers
        for argument in args:
            if isinstance(argument, Tensor):
                array = argument._data
                values.append(array)
                if array.dtype is float32:
                    single = True
                else:
                    other = True
                node = argument.node
                inputs.append(node)
                wanted = wanted or node is not None
            else:
                values.append(argument)
                inputs.append(None)
                other = other or type(argument) not in numbers
        promotion = None
        if other or not single:
            values, promotion = promoted(args, values, takes)
        wanted = wanted and grad_enabled()
        if needs_flags:
            options["needs_input_grad"] = tuple(wanted and node is not None for node in inputs)
        try:
            result = _computed(kernels, forward, values, options) if kernels else forward(*values, **options)
        except (ValueError, TypeError, IndexError) as error:
            options.pop("needs_input_grad", None)
            if not spelled.keys().isdisjoint(options):
                return apply(*args, **in_our_words(name, options, spelled))
            raise op_error(name, names, values, options, error) from error
        except AttributeError as error:
            raise not_an_array(name, names, values, error) from error
        if type(result) is not tuple:
            raise not_an_op(name, result)
        try:
            value, backward = result
        except ValueError:
            raise not_an_op(name, result) from None
        if type(value) is not ndarray:
            if value is None or isinstance(value, Tensor):
                raise not_an_op(name, result)
            value = array_module(value).asarray(value)  # numpy hands back scalars for 0-d results
        if promotion is not None:
            value, backward = promotion.undone(value, backward, options)
        out = new(Tensor)
        out._data, out.grad = value, None
        out.node = Node(name, value, tuple(inputs), backward) if wanted and backward is not None else None
        watch = watching()
        if watch is not None:
            watch.made(out.node, name, values, value, backward)
        return out

    OPS[name], SPECIFICATIONS[name] = apply, forward
    return apply


def function(made_of_ops: Function) -> Function:
    """A function of tensors that is made of ops: found by its name as they are, its options by PyTorch's names, too."""
    name = made_of_ops.__name__
    spelled = spellings(name, list(inspect.signature(made_of_ops).parameters))

    @wraps(made_of_ops)
    def apply(*args: Any, **options: Any) -> Any:
        return made_of_ops(*args, **in_our_words(name, options, spelled))

    FUNCTIONS[name] = apply
    return cast(Function, apply)


def compute(name: str, *values: Any, **options: Any) -> tuple[Array, Any]:
    """The value and the backward of op `name`, of raw arrays: for an op that is made of others."""
    return _computed(KERNELS[name], SPECIFICATIONS[name], values, options)


def _computed(
    kernels: Mapping[Device, Sequence[Kernel]],
    specification: Forward,
    values: Sequence[Any],
    options: Mapping[str, Any],
) -> Result:
    """By the first kernel that does not decline, or as the op specifies."""
    for run in kernels.get(device_of(values[0]), ()):
        result = run(*values, **options)
        if result is not NotImplemented:
            return result
    return specification(*values, **options)


def kernel(name: str, device: Device, precision: Precision = "float32") -> Callable[[Kernel], Kernel]:
    """Register a faster way to compute op `name` on `device`: the same signature, the same results.

    A kernel declines a shape, dtype or layout that it does not serve: it returns NotImplemented, and the op computes.
    One of precision bf16 gives results to bf16's accuracy, is in use only after use_kernels("bf16"), and is asked
    before that of float32.
    """

    def register(forward: Kernel) -> Kernel:
        REGISTERED[precision][name, device] = forward
        if precision == "float32":
            KERNELS.setdefault(name, {})[device] = (forward,)
        return forward

    return register


def use_kernels(precision: Precision) -> None:
    """Put the kernels of this precision in use; where an op has none, or it declines, that of float32."""
    for kernels in KERNELS.values():
        kernels.clear()
    for name, device in REGISTERED["float32"] | REGISTERED[precision]:
        in_order = dict.fromkeys((precision, "float32"))
        found = [REGISTERED[known].get((name, device)) for known in in_order]
        KERNELS.setdefault(name, {})[device] = tuple(forward for forward in found if forward is not None)


def _named(
    name: str, arrays: Sequence[str], optional: Sequence[str], extra: Sequence[Any], options: Mapping[str, Any]
) -> dict[str, Any]:
    """The values that follow the arrays, by the names of the options that they are."""
    may = [] if name in UNORDERED else list(takewhile(POSITIONAL.__contains__, optional))
    if len(extra) > len(may):
        raise too_many(name, arrays, optional, len(arrays) + len(extra))
    named = dict(zip(may, extra, strict=False))
    if twice := named.keys() & options.keys():
        raise TypeError(f"{name}(): '{twice.pop()}' is given twice")
    return named


def _argument(name: str, parameter: inspect.Parameter, options: dict[str, Any]) -> Any:
    if parameter.name in options:
        return options.pop(parameter.name)
    if parameter.default is parameter.empty:
        raise TypeError(f"{name}(): the argument '{parameter.name}' is missing")
    return parameter.default
