"""Whose work a folder holds, and that it goes on only with what it was begun with."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from scratchgrad.errors import UserError, quoted
from scratchgrad.files import atomic_file, read_json, write_json
from scratchgrad.tools.curation.recipe import Recipe, settings, to_yaml
from scratchgrad.tools.recipes import parse

WORK, RECIPE, MANIFEST = "work", "recipe.yaml", "manifest.json"
MOST_TOLD = 4  # differences of a recipe


@contextmanager
def locked(out: Path) -> Iterator[Path]:
    """The folder of work in `out`, which is this process's until the end of the block, or of the process."""
    try:
        work = out / WORK
        work.mkdir(parents=True, exist_ok=True)
        folder = os.open(out, os.O_RDONLY)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield work
        except BlockingIOError:
            raise UserError(f"another process is curating in '{out}': wait for it, or take another --out") from None
        finally:
            os.close(folder)
    except OSError as error:
        place = error.filename or out
        raise UserError(
            f"'{place}': {error.strerror or error}; what is done stays, and the same command goes on from there"
        ) from error


def compare_recipe(recipe: Recipe, out: Path) -> None:
    """UserError where `out` was begun by another recipe, with the differences; else it says from now on that it is of
    this one.
    """
    path, mine = out / RECIPE, settings(recipe)
    if not path.exists():
        with atomic_file(path, "w") as file:
            file.write(to_yaml(recipe))
        return
    try:
        there = parse(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"'{path}' is damaged ({error}): remove '{out}', and curate again") from None
    if there == parse(to_yaml(recipe)):
        return
    differences = []
    for section in {**there, **mine}:
        then, now = there.get(section) or {}, mine.get(section, {})
        differences += [
            f"{section}.{key} = {quoted(then.get(key), 30)}, not {quoted(now.get(key), 30)}"
            for key in {**then, **now}
            if then.get(key) != now.get(key)
        ]
    more = f" and {len(differences) - MOST_TOLD} more" if len(differences) > MOST_TOLD else ""
    raise UserError(
        f"'{out}' was begun with {', '.join(differences[:MOST_TOLD])}{more}: take another --out, or the same recipe"
    )


def compare_inputs(files: Sequence[tuple[str, Path]], path: Path) -> list[dict[str, Any]]:
    """The files that are read, each with its source or step; UserError where they are not those that the work was begun
    with.
    """
    mine, times = [], []
    for name, file in files:
        status = file.stat()
        mine.append({"source": name, "path": file.as_posix(), "bytes": status.st_size})
        times.append(status.st_mtime_ns)
    if path.exists():
        there = read_json(path)
        if there != {"files": mine, "times": times}:
            then = dict(zip((file["path"] for file in there["files"]), there["times"], strict=True))
            now = dict(zip((file["path"] for file in mine), times, strict=True))
            changed = [name for name in {**then, **now} if then.get(name) != now.get(name)]
            raise UserError(
                f"'{changed[0]}' has changed since the work in '{path.parent.parent}' was begun: take another --out"
            )
    else:
        write_json(path, {"files": mine, "times": times})
    return mine
