"""Text as it comes: examples, the sources that give them, and every reader of raw files."""

from scratchgrad.tools.text.example import Example, Skipped
from scratchgrad.tools.text.files import find_files
from scratchgrad.tools.text.optional import need
from scratchgrad.tools.text.raw_file import RawFile
from scratchgrad.tools.text.reading import read_examples, read_prompts, read_whole, stream_texts, suffixes
from scratchgrad.tools.text.source import Source, build_source, source_class, source_names, source_settings
from scratchgrad.tools.text.source_recipe import SourceRecipe
from scratchgrad.tools.text.streams import tells_read_faults

__all__ = [
    "Example",
    "RawFile",
    "Skipped",
    "Source",
    "SourceRecipe",
    "build_source",
    "find_files",
    "need",
    "read_examples",
    "read_prompts",
    "read_whole",
    "source_class",
    "source_names",
    "source_settings",
    "stream_texts",
    "suffixes",
    "tells_read_faults",
]
