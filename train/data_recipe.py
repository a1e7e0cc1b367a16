"""The section `data` of a recipe: where examples come from, and which of them are validation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

from pydantic import Field, model_validator

from scratchgrad.tools.recipes import Place, Positive, Share
from scratchgrad.tools.text import SourceRecipe, source_class, source_names


class WeightedSource(SourceRecipe):
    weight: Positive = Field(1.0, description="how many rows it gives in proportion to the other sources")


class DataRecipe(SourceRecipe):
    sources: list[WeightedSource] = Field(
        [],
        description="several sources instead of one: [{source: files, files: [a.txt], weight: 2.0}, {source: stdlib}]",
    )
    validation: Share = Field(0.05, description="the share of each source's text that is never trained on")
    cache_dir: Place = Field("runs/data", description="where the tokenised text is kept")

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
