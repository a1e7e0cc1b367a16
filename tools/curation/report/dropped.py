"""Samples of documents that rules dropped, and of lines that edits removed, folded by the reason."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import Any

from scratchgrad.tools.curation.report.html import details, number
from scratchgrad.tools.curation.report.samples import Chosen

Shown = Callable[[str], str]  # a text of a document as HTML: cut, masked, escaped


def samples(chosen: Chosen, rules: Sequence[Mapping[str, Any]], texts: Mapping[str, str], shown: Shown) -> str:
    blocks = []
    for place, rule in enumerate(rules):
        if chosen.counts[place]:
            articles = "".join(
                f"<article><small>{escape(id)}: {escape(rule['measured'].replace('_', ' '))} is {number(value)}</small>"
                f"<pre>{shown(texts[id]) if id in texts else '(its text was not kept)'}</pre></article>"
                for id, value in chosen.of(place)
            )
            blocks.append(details(_title(rule["step"], rule["reason"], chosen.counts[place]), articles))
    return "".join(blocks) or "<p>No rule dropped anything.</p>"


def removed(chosen: Chosen, shown: Shown) -> str:
    blocks = []
    for (step, reason), count in sorted(chosen.counts.items()):
        lines = "".join(f"<li>{shown(text)} <small>{escape(id)}</small></li>" for id, text in chosen.of((step, reason)))
        blocks.append(details(_title(step, reason, count), f"<ul>{lines}</ul>"))
    return "".join(blocks)


def _title(step: str, reason: str, count: int) -> str:
    return f"{step}: {reason.replace('_', ' ')} ({count:,})"
