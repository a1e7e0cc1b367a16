"""What every recipe is made of: sections of checked values, their YAML, and the sentences on mistakes."""

from scratchgrad.tools.recipes.printing import to_described_text
from scratchgrad.tools.recipes.reading import build, packaged, read_values, recipe_name
from scratchgrad.tools.recipes.section import Count, Fraction, Globs, NotNegative, Place, Positive, Section, Share
from scratchgrad.tools.recipes.yaml_values import parse, to_text

__all__ = [
    "Count",
    "Fraction",
    "Globs",
    "NotNegative",
    "Place",
    "Positive",
    "Section",
    "Share",
    "build",
    "packaged",
    "parse",
    "read_values",
    "recipe_name",
    "to_described_text",
    "to_text",
]
