"""Run directories on disk: `runs/<recipe>-NNN/`, with `recipe.yaml` and `checkpoints/step-N/`."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

from scratchgrad.errors import UserError
from scratchgrad.files import read_json
from scratchgrad.models.adapters import is_adapter

OF_CURATION = ("stages", "work")  # folders, of which it has one from its first moment on
MADE = "# made "  # and when: the first line of recipe.yaml, which stays when the run goes on with other values


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
    """Is it a run, and not a folder that scratchgrad-curate fills, which has a recipe, too?"""
    return (folder / "recipe.yaml").is_file() and not any((folder / name).is_dir() for name in OF_CURATION)


def newest_run(root: Path) -> Path:
    """The run below `root` that was made last, whichever was worked on since; UserError where there is none."""
    runs = [path for path in root.iterdir() if is_run(path)] if root.is_dir() else []
    if not runs:
        raise UserError(f"there is no run in '{root}'; start one with scratchgrad-train toy.yaml, or name its folder")
    return max(runs, key=lambda run: (_made_at(run), run.name))


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
    """The model directory that a user means: `folder` itself, or the newest checkpoint of the run that it is.

    An adapter's folder is one, too: it names the model that it stands beside.
    """
    if is_run(folder):
        return newest_checkpoint(folder)
    if (folder / "config.json").is_file() or is_adapter(folder):
        return folder
    if not folder.exists():
        raise UserError(f"'{folder}' does not exist")
    raise UserError(f"'{folder}' is neither a run nor a model directory: it has no recipe.yaml and no config.json")


def made_line(run: Path) -> str:
    """The first line of the run's recipe.yaml: as it is, or, of a run that is made now, as it will be."""
    try:
        with (run / "recipe.yaml").open(errors="replace") as file:
            first = file.readline()
    except FileNotFoundError:
        first = f"{MADE}{datetime.now(UTC).isoformat()}\n"
    return first if first.startswith(MADE) else f"{MADE}{datetime.fromtimestamp(_made_at(run), UTC).isoformat()}\n"


def is_finished(checkpoint: Path) -> bool | None:
    """Did the run of this checkpoint reach its end with it? None where that is not told."""
    try:
        finished = read_json(checkpoint / "trainer.json").get("finished")
    except (UserError, OSError):
        return None
    return finished if isinstance(finished, bool) else None


def _made_at(run: Path) -> float:
    """Seconds since 1970; of a run that an older version made, the oldest time that its files bear."""
    with (run / "recipe.yaml").open(errors="replace") as file:
        first = file.readline()
    try:
        return datetime.fromisoformat(first.removeprefix(MADE).strip()).timestamp()
    except ValueError:
        traces = [run / "recipe.yaml", run / "metrics.jsonl", *(path for _, path in checkpoints(run))]
        return min(path.stat().st_mtime for path in traces if path.exists())
