"""How much of each language, and of whatever else filters say of documents in words, the rules keep."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from scratchgrad.tools.curation.attributes import attribute_names, read_attributes
from scratchgrad.tools.curation.decisions import KEPT, read_fates
from scratchgrad.tools.curation.report.html import details, number, table

ROWS = 30  # of a table


def labels(stage: Sequence[Path], fates: Sequence[Path]) -> str:
    """A table for each label of a document stage; '' where it has none."""
    read, kept = Counter[tuple[str, str]](), Counter[tuple[str, str]]()
    for part, fate in zip(stage, fates, strict=True):
        own, before = read_fates(fate), 0
        for columns in read_attributes(part, [name for name in attribute_names(part) if "." in name]):
            words = {name: values for name, values in columns.items() if values.dtype == object}
            length = len(next(iter(columns.values()), ()))
            is_kept = own[before : before + length] == KEPT
            before += length
            for name, values in words.items():
                read.update((name, str(value)) for value in values)
                kept.update((name, str(value)) for value in values[is_kept])
    html = ""
    for name in dict.fromkeys(name for name, _ in read):
        found = sorted(((count, value) for (of, value), count in read.items() if of == name), key=lambda one: -one[0])
        rows = [
            (value, number(count), number(kept[name, value]), f"{kept[name, value] / count:.0%}")
            for count, value in found
        ]
        step, _, label = name.partition(".")
        more = f"<p>and {len(rows) - ROWS:,} more</p>" if len(rows) > ROWS else ""
        shown = table((label, "documents", "kept by rules", "share kept"), rows[:ROWS]) + more
        html += details(f"{label.replace('_', ' ')}, as {step} found it ({len(rows):,})", shown)
    return html
