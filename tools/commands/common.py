"""What every command line of ours shares: how a user's mistake is reported, and the version."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import wraps
from importlib.metadata import version
from typing import BinaryIO, NoReturn, ParamSpec, TypeVar

import click

from scratchgrad.errors import UserError, printable
from scratchgrad.files import machine_fault
from scratchgrad.tools.commands.ending import ends_by_signals
from scratchgrad_start import is_told_by_another

P = ParamSpec("P")
R = TypeVar("R")

HELP = {"help_option_names": ["-h", "--help"]}
version_option = click.version_option(version("scratchgrad"), prog_name="scratchgrad")


def say(text: str = "") -> None:
    """A line for the person who watches: everything that is not the result goes to stderr."""
    print(printable(text), file=sys.stderr, flush=True)


def write(text: str) -> None:
    """A piece of the result, at once. Bytes that were no UTF-8 on the command line come out as they went in.

    On a terminal, which they would steer, control characters are escaped; a file or a pipe gets them as they are.
    """
    if sys.stdout.isatty():
        text = printable(text)
    sys.stdout.buffer.write(text.encode("utf-8", "surrogateescape"))
    sys.stdout.buffer.flush()


def read_text(stream: BinaryIO, name: str, limit: int) -> str:
    """All of a stream of UTF-8, at most `limit` bytes of it; UserError where it is more, or something else."""
    raw = stream.read(limit + 1)
    if len(raw) > limit:
        raise UserError(f"{name} has more than {limit:,} bytes")
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise UserError(f"{name} is not UTF-8: byte {error.start} is 0x{raw[error.start]:02x}") from None


def tells_mistakes(command: Callable[P, R]) -> Callable[P, R]:
    """A UserError becomes one sentence on stderr and exit code 2, and so does what the machine has too little of.

    A closed pipe (`| head`) ends quietly, and so does a signal, with 128 + its number for exit code.
    """

    @wraps(command)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            with ends_by_signals():
                return command(*args, **kwargs)
        except UserError as mistake:
            leave(str(mistake))
        except BrokenPipeError:
            sys.stdout = None  # so that the interpreter does not flush into the closed pipe
            sys.exit(0)
        except OSError as error:
            if (fault := machine_fault(error, "standard output")) is None:
                raise
            leave(str(fault))

    return guarded


def leave(sentence: str) -> NoReturn:
    """Exit code 2 with one sentence, as click words its own complaints; in silence where rank 0 tells it."""
    if not is_told_by_another():
        click.echo(f"Error: {printable(sentence)}", err=True)
    sys.exit(2)
