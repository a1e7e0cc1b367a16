"""Blocks of `with` that change how this thread computes, and what they can decorate."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import wraps
from inspect import isasyncgenfunction, iscoroutinefunction, isgeneratorfunction
from typing import Any, Generic, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")
Function = TypeVar("Function", bound=Callable[..., Any])


class Context(Generic[T]):
    """`with state():`, as often as one likes, or `@state()` over a function, each call of which runs in a block.

    TypeError where it decorates a generator or a coroutine function, whose body runs after the call has returned.
    """

    def __init__(self, name: str, enter: Callable[[], AbstractContextManager[T]]) -> None:
        self._name, self._make = name, enter
        self._entered: list[AbstractContextManager[T]] = []

    def __enter__(self) -> T:
        manager = self._make()
        value = manager.__enter__()
        self._entered.append(manager)
        return value

    def __exit__(self, *error: Any) -> bool | None:
        return self._entered.pop().__exit__(*error)

    def __call__(self, function: Function) -> Function:
        refuse_what_runs_later(self._name, function)

        @wraps(function)
        def inside(*args: Any, **kwargs: Any) -> Any:
            with self._make():  # one of its own for each call, which may be in several threads at once
                return function(*args, **kwargs)

        return inside  # type: ignore[return-value]


def context(function: Callable[P, Iterator[T]]) -> Callable[P, Context[T]]:
    """`contextlib.contextmanager` for the states of a thread: see `Context` for what its blocks can decorate."""
    manager = contextmanager(function)

    @wraps(function)
    def made(*args: P.args, **kwargs: P.kwargs) -> Context[T]:
        return Context(function.__name__, lambda: manager(*args, **kwargs))

    return made


def refuse_what_runs_later(name: str, function: Callable[..., Any]) -> None:
    """TypeError where `@name()` would be over before a line of the function has run."""
    if isgeneratorfunction(function) or iscoroutinefunction(function) or isasyncgenfunction(function):
        raise TypeError(
            f"@{name}() would end before the body of '{function.__name__}' runs; write 'with {name}():' inside, "
            "around what is computed and not around a yield or an await"
        )
