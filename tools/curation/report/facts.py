"""What the report says of rules: how values are spread, what each drops, and what it would at another threshold."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from scratchgrad.tools.curation.attributes import read_attributes
from scratchgrad.tools.curation.batch import Values
from scratchgrad.tools.curation.decisions import StepRule
from scratchgrad.tools.curation.step import Rule

BINS = 40
SHARES = (0.9, 1.1)  # of a threshold, that are tried instead of it
TAIL = 0.005  # of the values at each end, which one bin holds
SAMPLE = 100_000  # values, of which the range of a histogram is found


@dataclass(frozen=True)
class RuleFacts:
    """alone: documents that this rule would drop if it were the only one. kept_at: documents that all rules keep, by
    the threshold that stands instead of this one. edges, counts: of the histogram, whose ends hold what lies beyond.
    """

    rule: StepRule
    alone: int
    kept_at: Mapping[float, int]
    edges: Sequence[float]
    counts: Sequence[int]


@dataclass(frozen=True)
class GroupFacts:
    documents: int
    kept: int
    rules: Sequence[RuleFacts]


def group_facts(parts: Sequence[Path], rules: Sequence[StepRule]) -> GroupFacts:
    """Of a document stage; parts: the folders of its units."""
    documents, ranges = _ranges(parts, rules)
    kept, alone = 0, np.zeros(len(rules), np.int64)
    others = [[_moved(rule.rule, share) for share in SHARES] for rule in rules]
    kept_at = np.zeros((len(rules), len(SHARES)), np.int64)
    counts = np.zeros((len(rules), BINS), np.int64)
    for columns in _columns(parts, rules):
        drops = [~rule.rule.keeps(columns[rule.column]) for rule in rules]
        faults = np.sum(drops, axis=0) if drops else np.zeros(len(columns["bytes"]), int)
        kept += int((faults == 0).sum())
        for number, (rule, drop) in enumerate(zip(rules, drops, strict=True)):
            values = columns[rule.column]
            alone[number] += drop.sum()
            for place, moved in enumerate(others[number]):
                kept_at[number, place] += ((faults - drop + ~moved.keeps(values)) == 0).sum()
            whole = values[~np.isnan(values)]
            counts[number] += np.histogram(np.clip(whole, *ranges[number]), BINS, ranges[number])[0]
    facts = [
        RuleFacts(
            rule, int(alone[number]),
            {moved.threshold: int(kept_at[number, place]) for place, moved in enumerate(others[number])},
            np.linspace(*ranges[number], BINS + 1).tolist(), counts[number].tolist(),
        )
        for number, rule in enumerate(rules)
    ]  # fmt: skip
    return GroupFacts(documents, kept, facts)


def _columns(parts: Sequence[Path], rules: Sequence[StepRule]) -> Iterator[dict[str, Values]]:
    names = ["bytes", *dict.fromkeys(rule.column for rule in rules)]
    for part in parts:
        yield from read_attributes(part, names)


def _ranges(parts: Sequence[Path], rules: Sequence[StepRule]) -> tuple[int, list[tuple[float, float]]]:
    """How many documents there are, and of each rule the range of its histogram, in which its thresholds lie."""
    documents = 0
    samples: dict[str, list[Values]] = {rule.column: [] for rule in rules}
    for columns in _columns(parts, rules):
        documents += len(columns["bytes"])
        for name, found in samples.items():
            if sum(map(len, found)) < SAMPLE:
                found.append(columns[name])
    ranges = []
    for rule in rules:
        values = np.concatenate([np.empty(0), *samples[rule.column]])
        values = np.append(values[np.isfinite(values)], [_moved(rule.rule, share).threshold for share in (*SHARES, 1)])
        low, high = np.quantile(values, [TAIL, 1 - TAIL])
        low, high = min(low, rule.rule.threshold), max(high, rule.rule.threshold)
        ranges.append((float(low), float(high) if high > low else float(low) + 1))
    return documents, ranges


def _moved(rule: Rule, share: float) -> Rule:
    return replace(rule, threshold=rule.threshold * share)


def rule_of(described: Mapping[str, Any]) -> StepRule:
    """A rule as the summary describes it."""
    names = ("measured", "comparison", "threshold", "setting", "reason")
    return StepRule(described["step"], Rule(**{name: described[name] for name in names}))
