"""Text as it comes: examples, the sources that give them, and every reader of raw files."""

from scratchgrad.tools.text.example import Example, Skipped
from scratchgrad.tools.text.files import find_files, tells_read_faults
from scratchgrad.tools.text.reading import SUFFIXES, TEXT_SUFFIXES, read_examples, read_prompts, stream_texts
from scratchgrad.tools.text.source import Source, build_source, source_class, source_names, source_settings
from scratchgrad.tools.text.source_recipe import SourceRecipe

__all__ = [
    "SUFFIXES",
    "TEXT_SUFFIXES",
    "Example",
    "Skipped",
    "Source",
    "SourceRecipe",
    "build_source",
    "find_files",
    "read_examples",
    "read_prompts",
    "source_class",
    "source_names",
    "source_settings",
    "stream_texts",
    "tells_read_faults",
]
