"""The section `data` of a recipe: where examples come from, and which of them are validation."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Any, Self

from pydantic import ConfigDict, Field, model_validator

from scratchgrad.tools.text import Source, build_source, source_class, source_names, source_settings
from scratchgrad.train.section import Count, Positive, Section, Share


class SourceRecipe(Section):
    """One source, and its settings: `files` and `pairs`, or others that a source in a file of its own asks for."""

    model_config = ConfigDict(extra="allow")

    source: str = Field("stdlib", description="a file in tools/text/sources: stdlib, files, reverse, numbers, ...")
    files: list[str] = Field([], description="globs of .txt .md .py .jsonl .tsv, all also as .gz; for source: files")
    pairs: Count = Field(20_000, description="how many examples a source makes that makes pairs of texts")

    def settings(self) -> dict[str, Any]:
        """What the source is given."""
        values = self.model_dump()
        return {name: values[name] for name in source_settings(self.source) if name in values}

    def check_settings(self, where: str, own_keys: Sequence[str]) -> None:
        """ValueError where the source has no such setting, or lacks one. own_keys: others that may stand beside."""
        if self.source not in source_names():
            raise ValueError(
                f"{where}.source = {self.source!r} is not known; it is one of: {', '.join(source_names())}"
            )
        known = source_settings(self.source)
        for name in self.model_extra or {}:
            if name not in known:
                near = difflib.get_close_matches(name, [*own_keys, *known], n=1)
                raise ValueError(
                    f"{where}.{name} is not a known key" + (f"; did you mean {where}.{near[0]}?" if near else "")
                )
        if self.files and "files" not in known:
            raise ValueError(f"{where}.files is read only with {where}.source = files")
        if "files" in known and not self.files:
            raise ValueError(f"{where}.source = {self.source} needs {where}.files, a list of globs")

    def build(self) -> Source:
        return build_source(self.source, **self.settings())


class WeightedSource(SourceRecipe):
    weight: Positive = Field(1.0, description="how many rows it gives in proportion to the other sources")


class DataRecipe(SourceRecipe):
    sources: list[WeightedSource] = Field(
        [],
        description="several sources instead of one: [{source: files, files: [a.txt], weight: 2.0}, {source: stdlib}]",
    )
    validation: Share = Field(0.05, description="the share of each source's text that is never trained on")
    cache_dir: str = Field("runs/data", description="where the tokenised text is kept")

    @model_validator(mode="after")
    def _fits(self) -> Self:
        own_keys = list(DataRecipe.model_fields)
        if self.sources and (self.files or self.model_extra or self.source != "stdlib"):
            raise ValueError("data.sources stands instead of data.source, data.files and their like: leave these out")
        self.check_settings("data", own_keys)
        for number, source in enumerate(self.sources):
            source.check_settings(f"data.sources[{number}]", list(WeightedSource.model_fields))
        return self

    @property
    def all_sources(self) -> Sequence[SourceRecipe]:
        return self.sources or [self]

    @property
    def weights(self) -> list[float]:
        return [source.weight for source in self.sources] or [1.0]

    def check_fields(self, objective: str, wanted: Sequence[str]) -> None:
        """ValueError where a source has not the fields that the objective reads."""
        for source in self.all_sources:
            given = source_class(source.source).fields
            if given is not None and not set(wanted) <= set(given):
                fitting = [name for name in source_names() if set(wanted) <= set(source_class(name).fields or wanted)]
                raise ValueError(
                    f"data.source = {source.source} has {' and '.join(given)}, and train.objective = {objective} reads "
                    f"{' and '.join(wanted)}: data.source = {' or '.join(fitting)}"
                )
