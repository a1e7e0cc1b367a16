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
from scratchgrad.tools.curation.report.charts import Histogram
from scratchgrad.tools.curation.step import Rule

BINS = 40
SHARES = (0.9, 1.1)  # of a threshold, that are tried instead of it
TAIL = 0.005  # of the values at each end, which one bin holds
SAMPLE = 100_000  # values, of which the range of a histogram is found


@dataclass(frozen=True)
class RuleFacts:
    """alone: documents that this rule would drop if it were the only one. unmeasured: those it does not hold for.
    kept_at: documents that all rules keep, by the threshold that stands instead of this one.
    """

    rule: StepRule
    alone: int
    unmeasured: int
    kept_at: Mapping[float, int]
    histogram: Histogram


@dataclass(frozen=True)
class GroupFacts:
    documents: int
    kept: int
    rules: Sequence[RuleFacts]


@dataclass(frozen=True)
class _Axis:
    """Of the histogram of a rule: the edges of its bins, one of which is the boundary between kept and dropped, and the
    other thresholds that are tried.
    """

    edges: Values
    boundary: float
    low: float
    high: float
    others: Sequence[Rule]


def group_facts(parts: Sequence[Path], rules: Sequence[StepRule]) -> GroupFacts:
    """Of a document stage; parts: the folders of its units."""
    documents, axes = _axes(parts, rules)
    kept = 0
    alone, unmeasured = np.zeros(len(rules), np.int64), np.zeros(len(rules), np.int64)
    kept_at = [np.zeros(len(axis.others), np.int64) for axis in axes]
    bins = [np.zeros((2, len(axis.edges) - 1), np.int64) for axis in axes]
    for columns in _columns(parts, rules):
        drops = [~rule.rule.keeps(columns[rule.column]) for rule in rules]
        faults = np.sum(drops, axis=0) if drops else np.zeros(len(columns["bytes"]), int)
        kept += int((faults == 0).sum())
        for number, (rule, drop, axis) in enumerate(zip(rules, drops, axes, strict=True)):
            values = columns[rule.column]
            is_measured = ~np.isnan(values)
            alone[number] += drop.sum()
            unmeasured[number] += (~is_measured).sum()
            for place, moved in enumerate(axis.others):
                kept_at[number][place] += ((faults - drop + ~moved.keeps(values)) == 0).sum()
            bin_of = np.searchsorted(axis.edges[1:-1], values, "right")
            for row, chosen in enumerate((is_measured & ~drop, drop)):
                bins[number][row] += np.bincount(bin_of[chosen], minlength=len(axis.edges) - 1)
    facts = []
    for number, (rule, axis) in enumerate(zip(rules, axes, strict=True)):
        tried = zip(axis.others, kept_at[number].tolist(), strict=True)
        kept_bins, dropped_bins = bins[number].tolist()
        shown = Histogram(axis.edges.tolist(), kept_bins, dropped_bins, axis.boundary, axis.low, axis.high)
        others = {moved.threshold: count for moved, count in tried}
        facts.append(RuleFacts(rule, int(alone[number]), int(unmeasured[number]), others, shown))
    return GroupFacts(documents, kept, facts)


def _columns(parts: Sequence[Path], rules: Sequence[StepRule]) -> Iterator[dict[str, Values]]:
    names = ["bytes", *dict.fromkeys(rule.column for rule in rules)]
    for part in parts:
        yield from read_attributes(part, names)


def _axes(parts: Sequence[Path], rules: Sequence[StepRule]) -> tuple[int, list[_Axis]]:
    """How many documents there are, and of each rule the axis of its histogram."""
    documents = 0
    samples: dict[str, list[Values]] = {rule.column: [] for rule in rules}
    for columns in _columns(parts, rules):
        documents += len(columns["bytes"])
        for name, found in samples.items():
            if sum(map(len, found)) < SAMPLE:
                found.append(columns[name])
    return documents, [_axis(rule.rule, np.concatenate([np.empty(0), *samples[rule.column]])) for rule in rules]


def _axis(rule: Rule, values: Values) -> _Axis:
    values = values[np.isfinite(values)]
    counts = rule.threshold == int(rule.threshold) and bool((values == np.floor(values)).all())  # and no ratios
    others = _others(rule, counts)
    around = [rule.threshold, *(other.threshold for other in others)]
    low, high = np.quantile(np.append(values, around), [TAIL, 1 - TAIL])
    low, high = float(min(low, *around)), float(max(high, *around))
    boundary = rule.threshold
    if counts:
        boundary += 0.5 if rule.comparison in ("<=", ">") else -0.5
        low, high = np.floor(low), np.ceil(high)
        width = float(np.ceil((high - low + 1) / BINS))
        first, last = np.floor((low - boundary) / width), np.ceil((high + 0.5 - boundary) / width)
    else:
        width = (high - low) / BINS or 1.0
        first, last = np.floor((low - boundary) / width), np.ceil((high - boundary) / width)
    edges = boundary + width * np.arange(first, max(last, first + 1) + 1)
    return _Axis(edges, boundary, float(low), float(high), others)


def _others(rule: Rule, counts: bool) -> list[Rule]:
    """The rule at 0.9 and 1.1 of its threshold; of what is counted, at the next whole numbers from there on."""
    moved = [round(rule.threshold * share, 9) for share in SHARES]
    if counts:
        moved = [min(np.floor(moved[0]), rule.threshold - 1), max(np.ceil(moved[1]), rule.threshold + 1)]
    return [
        replace(rule, threshold=float(value))
        for value in moved
        if value != rule.threshold and (value >= 0 or rule.threshold < 0)
    ]


def rule_of(described: Mapping[str, Any]) -> StepRule:
    """A rule as the summary describes it."""
    names = ("measured", "comparison", "threshold", "setting", "reason")
    return StepRule(described["step"], Rule(**{name: described[name] for name in names}))
