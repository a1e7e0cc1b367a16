"""What came in, what each rule and step took of it, and what is left: the first sections of the report."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any

from scratchgrad.tools.curation.report.charts import bar
from scratchgrad.tools.curation.report.html import Counts, Section, details, less, number, share, size, table, total
from scratchgrad.tools.curation.step import Edit, step_class

WORDS = {">=": "at least", ">": "more than", "<=": "at most", "<": "less than"}


def condition(rule: Mapping[str, Any]) -> str:
    """What a rule asks for: `mean word length at least 3`."""
    return f"{rule['measured'].replace('_', ' ')} {WORDS[rule['comparison']]} {number(rule['threshold'])}"


def overview(summary: Mapping[str, Any]) -> Section:
    came, kept = total(summary["groups"][0]["read"]), total(summary["kept"])
    cards = [
        ("documents read", number(came.get("documents", 0)), ""),
        ("documents kept", number(kept.get("documents", 0)), share(kept, came, "documents")),
        ("text read", size(came.get("bytes", 0)), ""),
        ("text kept", size(kept.get("bytes", 0)), share(kept, came, "bytes")),
        ("records that could not be read", number(came.get("skipped", 0)), ""),
    ]
    if "tokens" in kept:
        cards.append(("tokens kept", number(kept["tokens"]), ""))
    html = "".join(
        f'<div class="card"><b>{value}</b><span>{escape(what)} {of_all}</span></div>' for what, value, of_all in cards
    )
    rows = []
    for source, counts in summary["groups"][0]["read"].items():
        own = summary["kept"].get(source, {})
        of_all = share(own, counts, "documents") or "none"
        rows.append((
            source, number(counts.get("documents", 0)), f"{number(own.get('documents', 0))} ({of_all})",
            size(counts.get("bytes", 0)), size(own.get("bytes", 0)), number(counts.get("skipped", 0)),
        ))  # fmt: skip
    heads = ("source", "documents", "kept", "text", "text kept", "unreadable")
    return "In short", f'<div class="cards">{html}</div>' + table(heads, rows)


def waterfall(summary: Mapping[str, Any]) -> Section:
    """After each rule and step what is left of documents and bytes, and of tokens where they were counted.

    Rules that took nothing are folded away below.
    """
    whole = total(summary["groups"][0]["read"])
    documents, bytes_left = whole.get("documents", 0), whole.get("bytes", 0)
    has_tokens = "tokens" in total(summary["groups"][0]["came"])
    rows, idle = [_row("Read", "", number(documents), size(bytes_left), "", bar(1))], []
    for what, told, taken in _takers(summary, bytes_left):
        gone, bytes_gone = taken.get("documents", 0), taken.get("bytes", 0)
        documents, bytes_left = documents - gone, bytes_left - bytes_gone
        if gone or bytes_gone:
            drawn = bar(*(count / (whole.get("documents") or 1) for count in (documents, gone)))
            tokens = less(number(taken.get("tokens", 0)), taken.get("tokens", 0))
            rows.append(_row(what, told, less(number(gone), gone), less(size(bytes_gone), bytes_gone), tokens, drawn))
        else:
            idle.append((what, told))
    kept = total(summary["kept"])
    left = bar(documents / (whole.get("documents") or 1))
    rows.append(_row("Kept", "", number(documents), size(bytes_left), number(kept.get("tokens", 0)), left))
    heads = ["what took it", "documents", "text", *(["tokens"] if has_tokens else [])]
    html = table(heads, [row[: len(heads)] for row in rows], raw=(0,))
    if idle:
        html += details(f"{len(idle)} rules and steps took nothing more", table(("for", "asked by"), idle))
    return "What was dropped, step by step", html


def _row(what: str, told: str, documents: str, text: str, tokens: str, drawn: str) -> Sequence[str]:
    about = f"<small>{escape(told)}</small>" if told else ""
    return (f"<b>{escape(what)}</b> {about}{drawn}", documents, text, tokens)


def _takers(summary: Mapping[str, Any], bytes_left: int) -> Iterator[tuple[str, str, Counts]]:
    """What took something, by whom and by which condition, and how much."""
    for group in summary["groups"]:
        came = total(group["came"]).get("bytes", 0)
        edits = [name for name in group["steps"] if issubclass(step_class(name), Edit)]
        if edits:
            yield "Taken out of texts, or replaced", ", ".join(edits), {"bytes": bytes_left - came}
        for rule in group["rules"]:
            yield _sentence(rule["reason"]), f"{rule['step']} asks for {condition(rule)}", total(rule["dropped"])
        for step in group["corpus_steps"]:
            taken = total(step["dropped"])
            edited = taken.get("edited", 0)
            told = f"shortened: {edited:,}" if edited else ""
            yield f"What {step['step']} took", told, taken
        bytes_left = total(group["kept"]).get("bytes", 0)


def _sentence(reason: str) -> str:
    return reason[:1].upper() + reason[1:]
