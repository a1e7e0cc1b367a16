"""A step of curation, and how it is found: `steps/<name>.py` holds the step that a recipe calls `<name>`.

A step is its settings, which are a section of the recipe under its name, and what it does with them. There are three
kinds. An Edit changes a text. A Filter measures it, and says by which of what it measured a document is dropped; so
thresholds can be changed without measuring again. A CorpusStep (`corpus.py`) looks at all documents together.
"""

from __future__ import annotations

import operator
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cache
from importlib import import_module
from importlib.resources import files
from typing import Any, ClassVar, Literal

import numpy as np

from scratchgrad.errors import UserError
from scratchgrad.tools.curation.batch import Batch, Values
from scratchgrad.tools.curation.document import Document, Removed
from scratchgrad.tools.recipes import Section

PACKAGE = "scratchgrad.tools.curation.steps"
Comparison = Literal[">=", ">", "<=", "<"]
COMPARISONS: Mapping[str, Callable[[Any, Any], Any]] = {
    ">=": operator.ge, ">": operator.gt, "<=": operator.le, "<": operator.lt,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Rule:
    """A document is kept where `measured <comparison> threshold`; so is one of which it was not measured (NaN).

    setting: the name of the threshold among the step's settings. reason: for which a document is dropped, in words.
    """

    measured: str
    comparison: Comparison
    threshold: float
    setting: str
    reason: str

    def keeps(self, values: Values) -> Values:
        """(documents,) bool, of (documents,) float64."""
        kept: Values = np.isnan(values) | COMPARISONS[self.comparison](values, self.threshold)
        return kept


@dataclass(frozen=True, slots=True)
class Edited:
    """A document after an edit, what it lost, and what the edit counted."""

    document: Document
    removed: Sequence[Removed] = ()
    measured: Mapping[str, float] = field(default_factory=dict)


class Step(Section):
    """The settings of a step. It has no state: what it does to a document follows from both, and from nothing else."""

    languages: ClassVar[tuple[str, ...] | None] = None  # ISO 639 codes that its rules hold for; None: all
    source: ClassVar[str] = ""  # where its rules and thresholds are published

    @property
    def name(self) -> str:
        return type(self).__module__.rpartition(".")[2]

    def rules(self) -> list[Rule]:
        """By which documents are dropped, in the order in which they are asked. A setting of None switches one off."""
        return []

    def thresholds(self, *rows: tuple[str, Comparison, str, str]) -> list[Rule]:
        """A rule for each (measured, comparison, setting, reason), but where the setting is None."""
        values = [(row, getattr(self, row[2])) for row in rows]
        return [
            Rule(measured, comparison, float(value), setting, reason)
            for (measured, comparison, setting, reason), value in values
            if value is not None
        ]

    def paths(self) -> list[str]:
        """The user's files that it reads. What stands in them is part of the recipe."""
        return []


class Edit(Step, ABC):
    measures: ClassVar[tuple[str, ...]] = ()  # the names of what `edit` counts

    @abstractmethod
    def edit(self, document: Document) -> Edited:
        """The document without what this step removes or replaces."""


class Filter(Step, ABC):
    labels_documents: ClassVar[bool] = True  # whether its labels go into the metadata of documents

    @abstractmethod
    def measure(self, batch: Batch) -> dict[str, Values]:
        """Of each document, (documents,) float64, whatever its rules ask for, and more for the report.

        It is defined for every text: empty, of one word, of one line, in any script. NaN: the rule does not hold here.
        """

    def label(self, batch: Batch) -> dict[str, list[str]]:
        """Of each document what is no number, and what the report tabulates: its language, its kind.

        It also goes into the document's metadata, where later steps find it (`Batch.add_labels`), unless the filter's
        `labels_documents` is False.
        """
        return {}

    def where_language_fits(self, batch: Batch, values: dict[str, Values]) -> dict[str, Values]:
        """The values, but NaN for a document that is known to be in none of the step's `languages`."""
        fits = batch.in_languages(self.languages)
        return {name: np.where(fits, measured, np.nan) for name, measured in values.items()}


def step_names() -> list[str]:
    names = (entry.name for entry in files(PACKAGE).iterdir())
    return sorted(name.removesuffix(".py") for name in names if name.endswith(".py") and not name.startswith("_"))


def no_such_step(name: str) -> str:
    """The sentence on a name that is no step's: with those that are like it, or else with all."""
    near = get_close_matches(name, step_names(), n=3)
    told = f"did you mean {' or '.join(near)}?" if near else f"there are: {', '.join(step_names())}"
    return f"there is no step {name!r}; {told}"


@cache
def step_class(name: str) -> type[Step]:
    """The step in `steps/<name>.py`; UserError where there is no such file."""
    if name not in step_names():
        raise UserError(no_such_step(name))
    module = import_module(f"{PACKAGE}.{name}")
    own = [value for value in vars(module).values() if getattr(value, "__module__", None) == module.__name__]
    return next(value for value in own if isinstance(value, type) and issubclass(value, Step))
