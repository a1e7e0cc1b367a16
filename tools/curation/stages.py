"""Work that is done once, in parts: each part leaves a folder that is whole or not there, so that a run which was
killed at any moment goes on with the parts that are missing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from scratchgrad.files import atomic_directory
from scratchgrad.tools.curation.pool import Pool

Item = TypeVar("Item")
Work = Callable[[Item, Path], None]


def run_stage(pool: Pool, folder: Path, work: Work[Item], items: Sequence[Item]) -> list[Path]:
    """`work(item, its folder)` for every item, by the workers of a pool; the folders, in the order of the items.

    `work` is a function of a module, or a `functools.partial` of one: it goes to other processes. What it writes
    depends on the item and on stages before it alone. A part that is there already is not done again.
    """
    folder.mkdir(parents=True, exist_ok=True)
    parts = [folder / f"{number:05d}" for number in range(len(items))]
    missing = [(item, part) for item, part in zip(items, parts, strict=True) if not part.exists()]
    pool.run(_Part(work), missing)
    return parts


@dataclass(frozen=True)
class _Part:
    work: Work[Any]

    def __call__(self, task: tuple[Any, Path]) -> None:
        item, part = task
        if not part.exists():  # by a worker that was lost after it had done it
            with atomic_directory(part) as unfinished:
                self.work(item, unfinished)
