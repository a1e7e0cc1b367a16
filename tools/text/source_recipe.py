"""The part of a recipe that describes a source of examples."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Any

from pydantic import ConfigDict, Field, model_validator

from scratchgrad.tools.recipes import Count, Globs, Section
from scratchgrad.tools.text.raw_file import MAX_DOCUMENT_BYTES
from scratchgrad.tools.text.source import Source, build_source, source_names, source_settings


class SourceRecipe(Section):
    """One source, and its settings: `files` and `pairs`, or others that a source in a file of its own asks for."""

    model_config = ConfigDict(extra="allow")

    source: str = Field("stdlib", description="a file in tools/text/sources: stdlib, files, reverse, numbers, ...")
    files: Globs = Field(
        [],
        description="for source: files; globs or folders of text, code, .jsonl .json .csv .tsv .parquet .arrow .warc "
        ".wet .html, most also with .gz or .zst",
    )
    text_column: str | None = Field(None, description="for source: files; the column or field that holds the text")
    max_document_bytes: Count = Field(
        MAX_DOCUMENT_BYTES, description="for source: files; larger documents are left out by curation"
    )
    pairs: Count = Field(20_000, description="how many examples a source makes that makes pairs of texts")

    @model_validator(mode="before")
    @classmethod
    def _files_are_files(cls, values: Any) -> Any:
        """Who names files and no source means them."""
        if isinstance(values, dict) and values.get("files") and "source" not in values:
            return {**values, "source": "files"}
        return values

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
        for name, default in (("text_column", None), ("max_document_bytes", MAX_DOCUMENT_BYTES)):
            if getattr(self, name) != default and name not in known:
                raise ValueError(f"{where}.{name} is read only with {where}.source = files")
        if "files" in known and not self.files:
            raise ValueError(f"{where}.source = {self.source} needs {where}.files, as texts/*.txt or a folder")

    def build(self) -> Source:
        return build_source(self.source, **self.settings())
