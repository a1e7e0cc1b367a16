"""The recipe of a curation: what is read, which steps it goes through, and the settings of each."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Annotated, Any, Self

from pydantic import BaseModel, Field, create_model, model_validator

from scratchgrad.tools.curation.step import Step, no_such_step, step_class, step_names
from scratchgrad.tools.recipes import Count, Section, build, packaged, read_values, to_described_text, to_text
from scratchgrad.tools.text import SourceRecipe

PACKAGE = "scratchgrad.tools.curation.presets"


class CuratedSource(SourceRecipe):
    name: str | None = Field(
        None, description="what the report calls it; by default its kind, with a number if need be"
    )
    priority: int = Field(0, description="of equal documents, that of the source with the smallest number is kept")


class DataRecipe(CuratedSource):
    sources: list[CuratedSource] = Field(
        [], description="several sources instead of one: [{name: web, files: [a.warc.gz]}, {source: stdlib}]"
    )

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.sources and (self.files or self.model_extra or self.source != "stdlib"):
            raise ValueError("data.sources stands instead of data.source, data.files and their like: leave these out")
        self.check_settings("data", list(DataRecipe.model_fields))
        for number, source in enumerate(self.sources):
            source.check_settings(f"data.sources[{number}]", list(CuratedSource.model_fields))
        names = [source.name for source in self.sources if source.name is not None]
        twice = [name for name in names if names.count(name) > 1]
        if twice:
            raise ValueError(f"data.sources: two of them are called {twice[0]!r}")
        return self

    @property
    def named_sources(self) -> dict[str, CuratedSource]:
        """Each source under its name; those of one kind without a name are numbered: files, files-2, ..."""
        named: dict[str, CuratedSource] = {}
        for source in self.sources or [self]:
            name, number = source.name or source.source, 1
            while name in named:
                number += 1
                name = f"{source.name or source.source}-{number}"
            named[name] = source
        return named


class CurateRecipe(Section):
    steps: list[str] = Field([], description="files in tools/curation/steps, in their order; each at most once")
    seed: Annotated[int, Field(ge=0, lt=2**63)] = Field(0, description="of the samples, and of whatever is drawn")
    tokenizer: str | None = Field(None, description="a tokenizer's file or folder, with which tokens are counted")
    unit_bytes: Count = Field(
        8 << 20, description="files are read by one worker until they have this size; a larger file is one unit"
    )
    largest_document: Count = Field(10_000_000, description="characters; a longer one is skipped, and listed")
    keep_dropped: bool = Field(True, description="keep the text of documents that were dropped, for `refilter`")

    @model_validator(mode="after")
    def _are_known(self) -> Self:
        for name in self.steps:
            if name not in step_names():
                raise ValueError(f"curate.steps: {no_such_step(name)}")
            if self.steps.count(name) > 1:
                raise ValueError(f"curate.steps: {name!r} stands there twice")
        return self


class Recipe(Section):
    """Beside the two sections that every recipe has it has one for each step there is, under its name."""

    data: DataRecipe = DataRecipe()
    curate: CurateRecipe = CurateRecipe()

    @property
    def steps(self) -> list[Step]:
        return [getattr(self, name) for name in self.curate.steps]


@cache
def recipe_class() -> type[Recipe]:
    """With a section for each file in `steps`."""
    sections: dict[str, Any] = {
        name: (step_class(name), Field(default_factory=step_class(name))) for name in step_names()
    }
    made: type[Recipe] = create_model("Recipe", __base__=Recipe, **sections)
    return made


def load_recipe(name: str, overrides: Sequence[str] = ()) -> Recipe:
    """The recipe in file `name`, or the preset of that name, with `section.key=value` overrides.

    UserError lists every mistake.
    """
    return build(recipe_class(), read_values(name, PACKAGE, overrides, ["data", "curate", *step_names()]), name)


def presets() -> list[str]:
    return packaged(PACKAGE)


def settings(recipe: Recipe) -> dict[str, dict[str, Any]]:
    """The sections that decide the outcome: of the data, of curation, and of the steps that are taken, in order."""
    names = ["data", "curate", *recipe.curate.steps]
    sections: dict[str, BaseModel] = {name: getattr(recipe, name) for name in names}
    return {name: section.model_dump() for name, section in sections.items()}


def to_yaml(recipe: Recipe) -> str:
    return to_text(settings(recipe))


def to_described_yaml(recipe: Recipe) -> str:
    """As `to_yaml`, with what each key means beside it."""
    return to_described_text(recipe, list(settings(recipe)))
