"""What every command line of ours shares: how a user's mistake is told, and the version."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import wraps
from importlib.metadata import version
from typing import NoReturn, ParamSpec, TypeVar

import click

from scratchgrad.errors import UserError

P = ParamSpec("P")
R = TypeVar("R")

version_option = click.version_option(version("scratchgrad"), prog_name="scratchgrad")


def say(text: str = "") -> None:
    """A line for the person who watches: everything that is not the result goes to stderr."""
    print(text, file=sys.stderr, flush=True)


def tells_mistakes(command: Callable[P, R]) -> Callable[P, R]:
    """A UserError becomes one sentence on stderr and exit code 2; a closed pipe (`| head`) ends quietly."""

    @wraps(command)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return command(*args, **kwargs)
        except UserError as mistake:
            leave(str(mistake))
        except BrokenPipeError:
            sys.stdout = None  # so that the interpreter does not flush into the closed pipe
            sys.exit(0)

    return guarded


def leave(sentence: str) -> NoReturn:
    """Exit code 2 with one sentence, as click words its own complaints."""
    click.echo(f"Error: {sentence}", err=True)
    sys.exit(2)
