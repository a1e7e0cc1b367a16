"""Work that is done once, in parts: each part leaves a folder that is whole or not there, so that a run which was
killed at any moment goes on with the parts that are missing.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from scratchgrad.files import atomic_directory
from scratchgrad.tools.curation.pool import Pool

Item = TypeVar("Item")
Work = Callable[[Item, Path], Any]
PartDone = Callable[[Path, Any], None]


def run_stage(
    pool: Pool, folder: Path, work: Work[Item], items: Sequence[Item], done: PartDone = lambda part, result: None
) -> list[Path]:
    """`work(item, its folder)` for every item, by the workers of a pool; the folders, in the order of the items.

    `work` is a function of a module, or a `functools.partial` of one: it goes to other processes. What it writes
    depends on the item and on stages before it alone. A part that is there already is not done again. done: hears of
    each part, and what `work` returned: None of one that was there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    parts = [folder / f"{number:05d}" for number in range(len(items))]
    present = [part.exists() for part in parts]
    for part in itertools.compress(parts, present):
        done(part, None)
    tasks = [(item, part) for item, part, is_there in zip(items, parts, present, strict=True) if not is_there]
    for (_, part), result in zip(tasks, pool.map(_Part(work), tasks), strict=True):
        done(part, result)
    return parts


@dataclass(frozen=True)
class _Part:
    work: Work[Any]

    def __call__(self, task: tuple[Any, Path]) -> Any:
        item, part = task
        with atomic_directory(part) as unfinished:
            return self.work(item, unfinished)
