"""Run directories on disk: `runs/<recipe>-NNN/`, with `recipe.yaml` and `checkpoints/step-N/`."""

from __future__ import annotations

import re
from pathlib import Path

from scratchgrad.errors import UserError


def next_run_dir(root: Path, name: str) -> Path:
    """Make `root/<name>-NNN` with the next free number. Two that ask at once get two."""
    root.mkdir(parents=True, exist_ok=True)
    taken = [
        int(match[1]) for path in root.iterdir() if (match := re.fullmatch(rf"{re.escape(name)}-(\d+)", path.name))
    ]
    number = max(taken, default=0) + 1
    while True:
        try:
            (root / f"{name}-{number:03d}").mkdir()
            return root / f"{name}-{number:03d}"
        except FileExistsError:
            number += 1


def is_run(folder: Path) -> bool:
    return (folder / "recipe.yaml").is_file()


def newest_run(root: Path) -> Path:
    """The run below `root` that was worked on last; UserError where there is none."""
    runs = [path for path in root.iterdir() if is_run(path)] if root.is_dir() else []
    if not runs:
        raise UserError(f"there is no run in '{root}'; start one with scratchgrad-train toy.yaml, or name its folder")
    return max(runs, key=_last_worked_on)


def checkpoints(run: Path) -> list[tuple[int, Path]]:
    """(step, folder) of every checkpoint of a run, from the oldest to the newest."""
    folder = run / "checkpoints"
    found = (
        [(match, path) for path in folder.iterdir() if (match := re.fullmatch(r"step-(\d+)", path.name))]
        if folder.is_dir()
        else []
    )
    return sorted((int(match[1]), path) for match, path in found)


def newest_checkpoint(run: Path) -> Path:
    """UserError where the run has not written any."""
    present = checkpoints(run)
    if not present:
        raise UserError(f"the run '{run}' has no checkpoint yet")
    return present[-1][1]


def checkpoint_before(checkpoint: Path) -> Path | None:
    """The newest of the same run that is older than this one."""
    present = [path for _, path in checkpoints(checkpoint.parent.parent)]
    older = present[: present.index(checkpoint)] if checkpoint in present else []
    return older[-1] if older else None


def model_directory(folder: Path) -> Path:
    """The model directory that a user means: `folder` itself, or the newest checkpoint of the run that it is."""
    if is_run(folder):
        return newest_checkpoint(folder)
    if (folder / "config.json").is_file():
        return folder
    if not folder.exists():
        raise UserError(f"'{folder}' does not exist")
    raise UserError(f"'{folder}' is neither a run nor a model directory: it has no recipe.yaml and no config.json")


def _last_worked_on(run: Path) -> float:
    traces = [run / "recipe.yaml", run / "metrics.jsonl", *(path for _, path in checkpoints(run))]
    return max(path.stat().st_mtime for path in traces if path.exists())
