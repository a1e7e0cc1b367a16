"""Whom the curation silences, as a section of the report."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from itertools import groupby
from pathlib import Path

from scratchgrad.tools.curation.bias import EVERYTHING, Company, Rate, company, removal_rates
from scratchgrad.tools.curation.outcomes import Outcomes
from scratchgrad.tools.curation.report.charts import bar
from scratchgrad.tools.curation.report.html import Section, change, number, table

FEWEST = 10  # documents of which a share says something
MOST = 40  # rows of a table


def bias_sections(out: Path) -> Iterator[Section]:
    """None where the recipe has neither the step `terms` nor `word_list`."""
    if {"terms", "word_list"} & {*Outcomes(out).steps}:
        yield "Whom it drops", _rates(removal_rates(out)) + _company(company(out))


def _rates(rates: Sequence[Rate]) -> str:
    whole = next((rate for rate in rates if rate.kind == EVERYTHING[0]), None)
    if whole is None:
        return "<p>There were no documents.</p>"
    share = f"{whole.share:.1%}"
    html = (
        f"<p>Of all documents {share} were dropped. A word, site, language or source with a much larger share "
        "is silenced by a step: see which, and look at samples. "
        f"Those with fewer than {FEWEST} documents are left out.</p>"
    )
    for kind, group in groupby(rates, lambda rate: rate.kind):
        own = sorted(group, key=lambda rate: (-rate.share, -rate.documents, rate.value))
        told = [rate for rate in own if rate.documents >= FEWEST][:MOST]
        if kind == EVERYTHING[0] or not told:
            continue
        rows = [
            (f"{escape(rate.value)}{bar(1 - rate.share, rate.share)}", number(rate.documents),
             f"{number(rate.dropped)} ({rate.share:.1%})", change(f"{rate.share - whole.share:+.1%}"), rate.step)
            for rate in told
        ]  # fmt: skip
        heads = (kind, "documents", "dropped", "beside all", "most by")
        html += f"<h3>{escape(kind)}</h3>" + table(heads, rows, raw=(0,))
    return html


def _company(rows: Sequence[Company]) -> str:
    if not rows:
        return ""
    told = [
        (row.term, row.word, f"{row.before:.1f}", f"{row.after:.1f}", change(f"{row.after - row.before:+.1f}"))
        for row in rows
    ]
    heads = ("term", "word near it", "in 1,000 before", "after", "change")
    return "<h3>In what company</h3>" + table(heads, told[:MOST])
