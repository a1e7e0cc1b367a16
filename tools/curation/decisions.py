"""Which documents the rules of a document stage drop, by what was measured of them: cheap, again and again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from scratchgrad.tools.curation.attributes import read_attributes
from scratchgrad.tools.curation.batch import Values
from scratchgrad.tools.curation.step import Rule, Step

FATES = "fates.npy"
KEPT = -1


@dataclass(frozen=True)
class StepRule:
    """A rule, and the step that it belongs to."""

    step: str
    rule: Rule

    @property
    def column(self) -> str:
        """Of the attributes that it looks at."""
        return f"{self.step}.{self.rule.measured}"


def rules_of(steps: Sequence[Step]) -> list[StepRule]:
    """In the order in which they are asked."""
    return [StepRule(step.name, rule) for step in steps for rule in step.rules()]


@dataclass(frozen=True)
class Decision:
    """Called with the folder of a unit's attributes and an empty one, in which it leaves the fate of each document."""

    rules: tuple[StepRule, ...]

    def __call__(self, attributes: Path, folder: Path) -> None:
        fates = [np.empty(0, np.int16)]
        for columns in read_attributes(attributes, ["bytes", *dict.fromkeys(rule.column for rule in self.rules)]):
            fates.append(fates_of(self.rules, columns, len(columns["bytes"])))
        np.save(folder / FATES, np.concatenate(fates))


def fates_of(rules: Sequence[StepRule], columns: dict[str, Values], documents: int) -> Values:
    """(documents,) int16: of each document the number of the first rule that drops it, or KEPT."""
    fates = np.full(documents, KEPT, np.int16)
    for number, rule in reversed(list(enumerate(rules))):
        fates[~rule.rule.keeps(columns[rule.column])] = number
    return fates


def read_fates(folder: Path) -> Values:
    fates: Values = np.load(folder / FATES, allow_pickle=False)
    return fates
