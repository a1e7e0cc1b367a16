"""What a corpus step says of single documents, as lines of JSON on disk: most documents need none."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

FILE = "verdicts.jsonl"


@dataclass(frozen=True, slots=True)
class Verdict:
    """index: of the document in its unit. It is dropped for `reason`, or loses `spans` of its text for it.

    measured, partner: as of `Dropped`. spans: (start, end) in characters, in order, apart from each other.
    """

    index: int
    reason: str
    measured: float = 1.0
    partner: str | None = None
    spans: tuple[tuple[int, int], ...] = ()


def write_verdicts(folder: Path, verdicts: Iterable[Verdict]) -> None:
    """Into a folder of their own; sorted by index, one for each document."""
    with (folder / FILE).open("w", encoding="utf-8") as file:
        for verdict in sorted(verdicts, key=lambda verdict: verdict.index):
            file.write(json.dumps(asdict(verdict)) + "\n")


def read_verdicts(folder: Path) -> Iterator[Verdict]:
    with (folder / FILE).open(encoding="utf-8") as file:
        for line in file:
            row = json.loads(line)
            yield Verdict(**{**row, "spans": tuple((start, end) for start, end in row["spans"])})


def without_spans(text: str, spans: Iterable[tuple[int, int]]) -> str:
    kept, done = [], 0
    for start, end in spans:
        kept.append(text[done:start])
        done = end
    return "".join([*kept, text[done:]])
