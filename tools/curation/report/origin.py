"""How the report's curation was made, and how long each step took."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

from scratchgrad.tools.curation.report.charts import bar
from scratchgrad.tools.curation.report.html import Section, details, number, table

FILES = 200  # that are listed


def times(seconds: Mapping[str, Any]) -> Section:
    steps = sorted(seconds["steps"].items(), key=lambda item: -item[1])
    whole = sum(taken for _, taken in steps) or 1
    rows = [(f"{escape(name)}{bar(taken / whole)}", f"{taken:,.2f} s", f"{taken / whole:.0%}") for name, taken in steps]
    stages = [(name, f"{taken:,.2f} s") for name, taken in seconds["stages"]]
    return "Time", (
        table(("step, over all workers", "seconds", "share"), rows, raw=(0,))
        + details("each stage by the clock", table(("stage", "seconds"), stages))
    )


def how_it_was_made(recipe_text: str, manifest: Mapping[str, Any]) -> Section:
    versions = ", ".join(f"{name} {version}" for name, version in manifest["versions"].items())
    inputs = [(file["source"], file["path"], number(file["bytes"]), file["sha256"][:16]) for file in manifest["inputs"]]
    shown = table(("source", "path", "bytes", "sha256 begins"), inputs[:FILES])
    more = f"<p>and {len(inputs) - FILES:,} more: manifest.json</p>" if len(inputs) > FILES else ""
    return "How it was made", (
        f"<p>{escape(versions)}. The same recipe and input give the same documents, whatever the number of workers.</p>"
        f"{details('recipe.yaml', f'<pre>{escape(recipe_text)}</pre>')}"
        f"{details(f'{len(inputs):,} input files', shown + more)}"
    )
