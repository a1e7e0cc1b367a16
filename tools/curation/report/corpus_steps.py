"""What a step that looks at all documents found: its numbers and warnings, its pairs side by side, samples."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from importlib import import_module
from typing import Any

from scratchgrad.tools.curation.report.charts import side_by_side
from scratchgrad.tools.curation.report.dropped import Shown
from scratchgrad.tools.curation.report.html import details, number, plain, short, table
from scratchgrad.tools.curation.report.samples import Chosen, Masked
from scratchgrad.tools.curation.step import step_class

ROWS = 20  # of a table
PARTS = 5  # of a document that a step shortened


def corpus_step(
    name: str, chosen: Chosen, report: Mapping[str, Any], pairs: Sequence[Mapping[str, Any]],
    texts: Mapping[str, str], masked: Masked, shown: Shown,
) -> str:  # fmt: skip
    about = (import_module(step_class(name).__module__).__doc__ or "").split("\n\n")[0]
    dropped, shortened = chosen.counts["documents"], chosen.counts["parts"]
    html = f"<p>{escape(about)} It dropped {dropped:,} documents and shortened {shortened:,}.</p>"
    html += "".join(f'<p class="warning">{escape(warning)}</p>' for warning in report.get("warnings", []))
    html += "".join(_tables(report, masked))
    html += "".join(_pair(pair, texts, masked) for pair in pairs if {pair["kept"], pair["removed"]} <= {*texts})
    in_pairs = {pair["removed"] for pair in pairs}
    for kind in ("documents", "parts"):
        for id, verdict in chosen.of(kind):
            if id in in_pairs or id not in texts:
                continue
            partner = f", {short(verdict.partner)}" if verdict.partner is not None else ""
            told = f"{short(id)}: {verdict.reason}{partner} ({number(verdict.measured)})"
            parts = [texts[id][start:end] for start, end in verdict.spans]
            lines = "".join(f"<li>{shown(part)}</li>" for part in parts[:PARTS])
            body = f"<ul>{lines}</ul>" if parts else f"<pre>{shown(texts[id])}</pre>"
            html += details(told, f"<small>{escape(id)}</small>{body}")
    return html


def _tables(report: Mapping[str, Any], masked: Masked) -> Iterator[str]:
    """Of whatever a step reports: single numbers together, and lists and tables folded."""

    def told(value: Any) -> str:
        is_text = isinstance(value, str) and " " in value  # else an id, or a name
        return masked(value) if is_text else plain(value)

    single = {key: value for key, value in report.items() if isinstance(value, (int, float, str))}
    if single:
        yield table(("count", ""), [(_words(key), plain(value)) for key, value in single.items()])
    for key, value in report.items():
        if key in ("pairs", "warnings") or not value or not isinstance(value, (dict, list)):
            continue
        if isinstance(value, dict) and all(isinstance(one, dict) for one in value.values()):
            heads = list(dict.fromkeys(name for one in value.values() for name in one))
            rows = [(name, *(told(one.get(head)) for head in heads)) for name, one in value.items()]
            heads = [key, *heads]
        elif isinstance(value, dict):
            heads, rows = [key, "count"], [(name, told(one)) for name, one in value.items()]
        elif all(isinstance(one, dict) for one in value):
            heads = list(dict.fromkeys(name for one in value for name in one))
            rows = [tuple(told(one.get(head)) for head in heads) for one in value]
        else:
            heads, rows = [key], [(told(one),) for one in value]
        more = f"<p>and {len(rows) - ROWS:,} more in report.json of the step</p>" if len(rows) > ROWS else ""
        yield details(_words(key), table([_words(head) for head in heads], rows[:ROWS]) + more)


def _words(key: str) -> str:
    return key.replace("_", " ")


def _pair(pair: Mapping[str, Any], texts: Mapping[str, str], masked: Masked) -> str:
    left, right = side_by_side(masked(texts[pair["kept"]]), masked(texts[pair["removed"]]))
    title = f"{short(pair['removed'])} went for {short(pair['kept'])} (similarity {number(pair['score'])})"
    return details(
        title,
        f'<div class="pair"><article><small>kept: {escape(pair["kept"])}</small><p>{left}</p></article>'
        f"<article><small>dropped: {escape(pair['removed'])}</small><p>{right}</p></article></div>",
    )
