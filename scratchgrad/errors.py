"""The one exception that means: the user can mend this. And how a foreign text is shown in a sentence."""

from __future__ import annotations

import re

LONGEST_MESSAGE = 300  # characters, beside those of the paths of files in it
LONGEST_PATHS = 700

_PATH = re.compile(r"'/[^']*'")


class UserError(ValueError):
    """A user's mistake, in one sentence that says what was wrong, where, and what would fix it.

    Every command prints it without a traceback and exits with code 2. Anything else that is raised is our bug. What a
    file or a user wrote into the sentence can neither flood nor steer a terminal: control characters are escaped, and
    of more than `LONGEST_MESSAGE` characters (paths do not count) the middle is left out. Several mistakes at once are
    several arguments, and a line each.
    """

    def __init__(self, *messages: object) -> None:
        super().__init__("\n".join(_sentence(printable(str(message))) for message in messages))


def _sentence(text: str) -> str:
    of_paths = min(LONGEST_PATHS, sum(map(len, _PATH.findall(text)))) if len(text) > LONGEST_MESSAGE else 0
    return shortened(text, LONGEST_MESSAGE + of_paths)


def printable(text: str) -> str:
    """`text` with all but line breaks and tabs escaped that would steer a terminal, or that cannot be encoded."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in "\n\t" else c.encode("unicode_escape").decode() for c in text)


def shortened(text: str, most: int) -> str:
    """`text` without its middle, where it has more than `most` characters."""
    if len(text) <= most:
        return text
    last = most // 3
    return f"{text[: most - last - 5]} ... {text[-last:]}"


def quoted(value: object, most: int = 60) -> str:
    """A value of a file or a user, as Python writes it, for a sentence: without its middle where it is long."""
    if isinstance(value, str) and len(value) > most:  # not written out whole, only to be cut
        return repr(shortened(value, most))
    return shortened(repr(value), most)
