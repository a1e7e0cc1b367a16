"""The counts of a whole run, by source: what was read, what each rule and each corpus step dropped, what is left."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from scratchgrad.files import read_json
from scratchgrad.tools.curation.decisions import StepRule
from scratchgrad.tools.curation.document_stage import COUNTS

BySource = dict[str, dict[str, int]]


def summary_of_group(
    sources: Sequence[str], steps: Sequence[str], rules: Sequence[StepRule], corpus_steps: Sequence[str],
    shards: Sequence[Path], left: Sequence[Path],
) -> dict[str, Any]:  # fmt: skip
    """sources: the name of each unit's. shards, left: the folders of each unit's document stage and survivors."""
    read = [read_json(part / COUNTS) for part in shards]
    counts = [read_json(part / COUNTS) for part in left]
    return {
        "steps": list(steps),
        "read": _by_source(sources, read),
        "came": _by_source(sources, (unit["came"] for unit in counts)),
        "rules": [
            {"step": rule.step, **asdict(rule.rule)}
            | {"dropped": _by_source(sources, (unit["rules"][number] for unit in counts))}
            for number, rule in enumerate(rules)
        ],
        "corpus_steps": [
            {"step": name, "dropped": _by_source(sources, (unit["steps"][name] for unit in counts))}
            for name in corpus_steps
        ],
        "kept": _by_source(sources, (unit["kept"] for unit in counts)),
    }


def _by_source(sources: Sequence[str], counts: Iterable[dict[str, int]]) -> BySource:
    sums: dict[str, Counter[str]] = {name: Counter() for name in sources}
    for name, unit in zip(sources, counts, strict=True):
        sums[name].update(unit)
    return {name: dict(sorted(total.items())) for name, total in sums.items()}
