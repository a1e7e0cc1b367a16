"""Options that belong together, handed to a command as one argument."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import click

Command = Callable[..., Any]


def option_group(
    argument: str, make: Callable[..., Any], *options: Callable[[Command], Command]
) -> Callable[[Command], Command]:
    """click options for a command that gets them as `argument`, which is make(**their values)."""

    def decorate(command: Command) -> Command:
        names: list[str] = []

        @wraps(command)
        def gathered(*args: Any, **values: Any) -> Any:
            own = {name: values.pop(name) for name in names}
            return command(*args, **{argument: make(**own)}, **values)

        known: list[click.Parameter] = list(getattr(command, "__click_params__", []))
        for option in reversed(options):
            option(gathered)
        params: list[click.Parameter] = gathered.__click_params__  # type: ignore[attr-defined]
        names += [param.name for param in params[len(known) :] if param.name is not None]
        return gathered

    return decorate
