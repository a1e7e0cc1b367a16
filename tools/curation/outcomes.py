"""What became of each document of a finished curation, from the first stage to the last."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from scratchgrad.files import read_json, verify_manifest
from scratchgrad.tools.curation.batch import Values
from scratchgrad.tools.curation.decisions import KEPT, read_fates
from scratchgrad.tools.curation.engine import STAGES, SUMMARY, VERDICTS
from scratchgrad.tools.curation.verdicts import read_verdicts


@dataclass(frozen=True)
class Outcomes:
    """Of the folder of a finished curation; UserError where it is none."""

    out: Path

    @cached_property
    def groups(self) -> Sequence[Mapping[str, Any]]:
        verify_manifest(self.out, sizes_only=True)
        found: Sequence[Mapping[str, Any]] = read_json(self.out / SUMMARY)["groups"]
        return found

    @property
    def steps(self) -> list[str]:
        """The names of all steps, in order."""
        return [
            name for group in self.groups for name in (*group["steps"], *(s["step"] for s in group["corpus_steps"]))
        ]

    @property
    def parts(self) -> list[Path]:
        """Of each unit the folder with what was measured of its documents at first."""
        folder = self.out / STAGES / f"{self.groups[0]['number']}-documents"
        return sorted(part for part in folder.iterdir() if part.is_dir())

    def dropped_by(self, unit: str) -> Values:
        """(documents,) int16: of each document of a unit the number of the step, in `steps`, that drops it, or KEPT."""
        first = read_fates(self._stage(self.groups[0]["number"] + 1, "fates") / unit)
        steps = np.full(len(first), KEPT, np.int16)
        left = np.arange(len(first))
        for group in self.groups:
            number = group["number"]
            of_rule = np.array([self.steps.index(rule["step"]) for rule in group["rules"]], np.int16)
            fates = read_fates(self._stage(number + 1, "fates") / unit)
            is_left = fates == KEPT
            steps[left[~is_left]] = of_rule[fates[~is_left]]
            for place, step in enumerate(group["corpus_steps"], number + 2):
                for verdict in read_verdicts(self._stage(place, step["step"]) / VERDICTS / unit):
                    if not verdict.spans:
                        steps[left[verdict.index]] = self.steps.index(step["step"])
                        is_left[verdict.index] = False
            left = left[is_left]
        return steps

    def _stage(self, number: int, name: str) -> Path:
        return self.out / STAGES / f"{number}-{name}"
