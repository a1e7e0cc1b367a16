"""recipe.yaml of a run knows its sum, so that damage is seen when the run goes on; checkpoints have copies of it."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from scratchgrad.errors import UserError
from scratchgrad.tools.runs import checkpoints
from scratchgrad.train.checkpoint import RECIPE

_SUM = re.compile(rb"^# sha256 of what follows: (.*)\n", re.MULTILINE)


def with_sum(text: str) -> str:
    """`text` behind a line that has its sum."""
    return f"# sha256 of what follows: {_sum_of(text.encode())}\n{text}"


def check_recipe(run: Path) -> None:
    """UserError where the run's recipe.yaml is gone, or is not what the run wrote; it names the newest copy.

    A recipe without the line of its sum, as older versions wrote it, or who changed it by hand, is taken as it is.
    """
    path = run / "recipe.yaml"
    copies = [folder / RECIPE for _, folder in checkpoints(run) if (folder / RECIPE).is_file()]
    remedy = f"to go on as before: cp {copies[-1]} {path}" if copies else "there is no copy of it: start a new run"
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        lacks = f"; {remedy}" if copies else ""
        raise UserError(f"'{run}' is not a run: it has no recipe.yaml{lacks}") from None
    except OSError as error:
        raise UserError(f"'{path}' cannot be read: {error.strerror}; {remedy}") from None
    line = _SUM.search(content)
    if line is not None and line[1].decode(errors="replace") != _sum_of(content[line.end() :]):
        raise UserError(
            f"'{path}' is not what the run wrote; {remedy}. Or, if you changed it yourself, remove its line # sha256"
        )


def _sum_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
