"""The page: what came in, what each rule took, what is left, and samples of all of it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any

from scratchgrad.files import atomic_file, read_json, verify_manifest
from scratchgrad.tools.curation.engine import REPORT, STAGES, SUMMARY, VERDICTS
from scratchgrad.tools.curation.report.charts import bar, histogram, number, side_by_side
from scratchgrad.tools.curation.report.facts import RuleFacts, group_facts, rule_of
from scratchgrad.tools.curation.report.samples import (
    Chosen,
    dropped_by_rules,
    dropped_by_step,
    removed_parts,
    texts_of,
)
from scratchgrad.tools.curation.resuming import RECIPE
from scratchgrad.tools.recipes import parse

PAGE = "report.html"
LONGEST = 1200  # characters of a sample
PAIRS = 8  # of duplicates

Counts = Mapping[str, int]


def write_report_page(out: Path, times: Mapping[str, Any] | None = None) -> Path:
    """Write `report.html` into the folder of a finished curation, and say where. times: seconds of stages and steps.

    All but the times follows from the folder's other files.
    """
    manifest = verify_manifest(out, sizes_only=True)
    summary = read_json(out / SUMMARY)
    recipe_text = (out / RECIPE).read_text(encoding="utf-8")
    seed = parse(recipe_text)["curate"]["seed"]
    sections = [_overview(summary), _waterfall(summary)]
    for group in summary["groups"]:
        sections += _group(out, group, seed)
    if times:
        sections.append(_times(times))
    sections.append(_reproduce(recipe_text, manifest))
    style = files("scratchgrad.tools.curation.report").joinpath("style.css").read_text(encoding="utf-8")
    contents = "".join(f'<li><a href="#{_anchor(title)}">{escape(title)}</a></li>' for title, _ in sections)
    body = "".join(
        f'<section id="{_anchor(title)}"><h2>{escape(title)}</h2>{html}</section>' for title, html in sections
    )
    name = escape(out.resolve().name)
    page = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        f"<title>Curation: {name}</title><style>{style}</style></head><body>"
        f'<a class="skip" href="#main">Skip to the report</a><header><h1>Curation: {name}</h1></header>'
        f'<nav aria-label="Contents"><ul>{contents}</ul></nav><main id="main">{body}</main></body></html>\n'
    )
    with atomic_file(out / PAGE) as file:
        file.write(page.encode("utf-8", "backslashreplace"))
    return out / PAGE


Section = tuple[str, str]


def _overview(summary: Mapping[str, Any]) -> Section:
    read, kept = _sum(summary["groups"][0]["read"]), _sum(summary["kept"])
    cards = [
        ("documents read", number(read.get("documents", 0)), ""),
        ("documents kept", number(kept.get("documents", 0)), _share(kept, read, "documents")),
        ("text read", _megabytes(read.get("bytes", 0)), ""),
        ("text kept", _megabytes(kept.get("bytes", 0)), _share(kept, read, "bytes")),
        ("records that could not be read", number(read.get("skipped", 0)), ""),
    ]
    if "tokens" in kept:
        cards.append(("tokens kept", number(kept["tokens"]), ""))
    html = "".join(
        f'<div class="card"><b>{value}</b><span>{escape(what)}</span><small>{share}</small></div>'
        for what, value, share in cards
    )
    rows = [
        (source, number(counts.get("documents", 0)), number(own.get("documents", 0)), _share(own, counts, "documents"),
         _megabytes(counts.get("bytes", 0)), _megabytes(own.get("bytes", 0)), number(counts.get("skipped", 0)))
        for source, counts in summary["groups"][0]["read"].items()
        for own in [summary["kept"].get(source, {})]
    ]  # fmt: skip
    heads = ("source", "documents", "kept", "share", "read", "kept", "skipped")
    return "Overview", f'<div class="cards">{html}</div>' + _table(heads, rows)


def _waterfall(summary: Mapping[str, Any]) -> Section:
    """After each rule and step what is left: of documents, bytes, and tokens where they were counted."""
    whole = _sum(summary["groups"][0]["read"])
    documents, size = whole.get("documents", 0), whole.get("bytes", 0)
    rows: list[tuple[str, ...]] = [("read", "", number(documents), _megabytes(size), bar(1, "all"))]

    def took(what: str, why: str, counts: Counts) -> None:
        nonlocal documents, size
        documents -= counts.get("documents", 0)
        size -= counts.get("bytes", 0)
        share = documents / (whole.get("documents") or 1)
        left = bar(share, f"{share:.1%} of the documents are left")
        rows.append(
            (what, why, f"-{number(counts.get('documents', 0))}", f"-{_megabytes(counts.get('bytes', 0))}", left)
        )

    for group in summary["groups"]:
        came = _sum(group["came"])
        if came.get("bytes", 0) != size:
            took("edits of the text", ", ".join(group["steps"]), {"bytes": size - came.get("bytes", 0)})
        for rule in group["rules"]:
            took(rule["step"], f"{rule['reason']} ({_condition(rule)})", _sum(rule["dropped"]))
        for step in group["corpus_steps"]:
            took(step["step"], "", _sum(step["dropped"]))
    rows.append(("kept", "", number(documents), _megabytes(size), bar(documents / (whole.get("documents") or 1), "")))
    return "What each rule took", _table(("step", "rule", "documents", "text", "left"), rows, raw={4})


def _group(out: Path, group: Mapping[str, Any], seed: int) -> Iterator[Section]:
    number_of = group["number"]
    stage = _parts(out / STAGES / f"{number_of}-documents")
    fates = _parts(out / STAGES / f"{number_of + 1}-fates")
    rules = [rule_of(rule) for rule in group["rules"]]
    suffix = f" (from stage {number_of})" if number_of else ""
    chosen, ids = dropped_by_rules(stage, fates, rules, seed)
    corpus = [
        (step["step"], out / STAGES / f"{place}-{step['step']}")
        for place, step in enumerate(group["corpus_steps"], number_of + 2)
    ]
    by_step = {name: dropped_by_step(stage, _parts(folder / VERDICTS), seed) for name, folder in corpus}
    reports = {name: read_json(folder / REPORT) for name, folder in corpus if (folder / REPORT).exists()}
    pairs = {name: report.get("pairs", [])[:PAIRS] for name, report in reports.items()}
    ids += [id for found in by_step.values() for id, _ in [*found.of("documents"), *found.of("parts")]]
    ids += [pair[end] for found in pairs.values() for pair in found for end in ("kept", "removed")]
    texts = texts_of(stage, ids)
    if rules:
        facts = group_facts(stage, rules)
        yield f"Rules and thresholds{suffix}", "".join(_rule(rule, facts.kept) for rule in facts.rules)
    removed = removed_parts(stage, seed)
    if removed.counts:
        yield f"What edits removed{suffix}", _removed(removed)
    if rules:
        yield f"Samples of what rules dropped{suffix}", _samples(chosen, group["rules"], texts)
    for name, _ in corpus:
        yield f"{name}{suffix}", _corpus_step(by_step[name], reports.get(name, {}), pairs.get(name, []), texts)


def _rule(facts: RuleFacts, kept: int) -> str:
    rule = facts.rule.rule
    title = f"{facts.rule.step}: {rule.measured} {rule.comparison} {number(rule.threshold)}"
    drawn = histogram(facts.edges, facts.counts, rule.threshold, rule.comparison in (">", ">="), title)
    rows = [
        (f"{rule.setting} = {number(threshold)}", number(count), f"{count - kept:+,}")
        for threshold, count in [*facts.kept_at.items(), (rule.threshold, kept)]
    ]
    rows.sort(key=lambda row: float(row[0].rpartition("= ")[2].replace(",", "")))
    return (
        f"<figure><figcaption><b>{escape(title)}</b> {escape(rule.reason)}; alone it drops {facts.alone:,}"
        f"</figcaption>{drawn}{_table(('if', 'documents that all rules keep', 'change'), rows)}</figure>"
    )


def _removed(removed: Chosen) -> str:
    blocks = []
    for (step, reason), count in sorted(removed.counts.items()):
        lines = "".join(f"<li>{_cut(text)} <small>{escape(id)}</small></li>" for id, text in removed.of((step, reason)))
        blocks.append(
            f"<details><summary>{escape(step)}: {escape(reason)} ({count:,})</summary><ul>{lines}</ul></details>"
        )
    return "".join(blocks)


def _samples(chosen: Chosen, rules: Sequence[Mapping[str, Any]], texts: Mapping[str, str]) -> str:
    blocks = []
    for place, rule in enumerate(rules):
        if chosen.counts[place]:
            shown = "".join(
                f"<article><small>{escape(id)}: {escape(rule['measured'])} = {number(value)}</small>"
                f"<pre>{_cut(texts.get(id, '(its text was not kept)'))}</pre></article>"
                for id, value in chosen.of(place)
            )
            title = f"{rule['step']}: {rule['reason']} ({chosen.counts[place]:,})"
            blocks.append(f"<details><summary>{escape(title)}</summary>{shown}</details>")
    return "".join(blocks) or "<p>No rule dropped anything.</p>"


def _corpus_step(
    chosen: Chosen, report: Mapping[str, Any], pairs: Sequence[Mapping[str, Any]], texts: Mapping[str, str]
) -> str:
    html = f"<p>{chosen.counts['documents']:,} documents dropped, {chosen.counts['parts']:,} shortened.</p>"
    html += "".join(f'<p class="warning">{escape(warning)}</p>' for warning in report.get("warnings", []))
    plain = {key: value for key, value in report.items() if isinstance(value, (int, float, str))}
    if plain:
        html += _table(("count", ""), [(key.replace("_", " "), _plain(value)) for key, value in plain.items()])
    for key, value in report.items():
        if isinstance(value, dict) and value and all(isinstance(one, (int, float)) for one in value.values()):
            html += _details(key, _table((key, "count"), [(name, _plain(one)) for name, one in value.items()]))
        elif isinstance(value, dict) and value and all(isinstance(one, dict) for one in value.values()):
            heads = list(dict.fromkeys(name for one in value.values() for name in one))
            rows = [(name, *(_plain(one.get(head, "")) for head in heads)) for name, one in value.items()]
            html += _details(key, _table((key, *heads), rows))
        elif isinstance(value, list) and value and key not in ("pairs", "warnings"):
            html += _details(key, "<ul>" + "".join(f"<li>{_cut(json.dumps(one))}</li>" for one in value[:20]) + "</ul>")
    for pair in pairs:
        if pair["kept"] in texts and pair["removed"] in texts:
            left, right = side_by_side(texts[pair["kept"]], texts[pair["removed"]])
            html += (
                f"<details><summary>{escape(pair['removed'])} goes, {escape(pair['kept'])} stays ({pair['score']:.3f})"
                f'</summary><div class="pair"><article><small>kept</small><p>{left}</p></article>'
                f"<article><small>dropped</small><p>{right}</p></article></div></details>"
            )
    for kind in ("documents", "parts"):
        for id, verdict in chosen.of(kind):
            partner = f" of {verdict.partner}" if verdict.partner is not None else ""
            told = f"{id}: {verdict.reason}{partner} ({number(verdict.measured)})"
            parts = [texts[id][start:end] for start, end in verdict.spans] if id in texts else []
            shown = "".join(f"<li>{_cut(part)}</li>" for part in parts[:5])
            html += _details(told, f"<ul>{shown}</ul>" if parts else f"<pre>{_cut(texts.get(id, ''))}</pre>")
    return html


def _times(times: Mapping[str, Any]) -> Section:
    steps = sorted(times["steps"].items(), key=lambda item: -item[1])
    whole = sum(seconds for _, seconds in steps) or 1
    rows = [(name, f"{seconds:,.2f} s", bar(seconds / whole, f"{seconds / whole:.0%}")) for name, seconds in steps]
    stages = [(name, f"{seconds:,.2f} s") for name, seconds in times["stages"]]
    return "Time", (
        _table(("step, over all workers", "seconds", "share"), rows, raw={2})
        + _table(("stage, by the clock", ""), stages)
    )


def _reproduce(recipe_text: str, manifest: Mapping[str, Any]) -> Section:
    versions = ", ".join(f"{name} {version}" for name, version in manifest["versions"].items())
    inputs = [(file["source"], file["path"], number(file["bytes"]), file["sha256"][:16]) for file in manifest["inputs"]]
    shown = _table(("source", "path", "bytes", "sha256"), inputs[:200])
    more = f"<p>and {len(inputs) - 200:,} more: manifest.json</p>" if len(inputs) > 200 else ""
    return "How it was made", (
        f"<p>{escape(versions)}</p>{_details('recipe.yaml', f'<pre>{escape(recipe_text)}</pre>')}"
        f"{_details(f'{len(inputs):,} input files', shown + more)}"
    )


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]], raw: frozenset[int] | set[int] = frozenset()) -> str:
    """raw: the columns that are HTML already."""
    head = "".join(f'<th scope="col">{escape(one)}</th>' for one in heads)
    body = "".join(
        "<tr>"
        + "".join(f"<td>{cell if place in raw else escape(cell)}</td>" for place, cell in enumerate(row))
        + "</tr>"
        for row in rows
    )
    return f'<div class="table"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _details(title: str, html: str) -> str:
    return f"<details><summary>{escape(title.replace('_', ' '))}</summary>{html}</details>"


def _plain(value: Any) -> str:
    return number(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else str(value)


def _cut(text: str) -> str:
    return escape(text) if len(text) <= LONGEST else f"{escape(text[:LONGEST])} ..."


def _condition(rule: Mapping[str, Any]) -> str:
    return f"kept where {rule['measured']} {rule['comparison']} {number(rule['threshold'])}"


def _share(part: Counts, whole: Counts, key: str) -> str:
    return f"{part.get(key, 0) / whole[key]:.1%}" if whole.get(key) else ""


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.2f} MB"


def _sum(by_source: Mapping[str, Counts]) -> dict[str, int]:
    names = {name for counts in by_source.values() for name in counts}
    return {name: sum(counts.get(name, 0) for counts in by_source.values()) for name in names}


def _parts(folder: Path) -> list[Path]:
    return sorted(part for part in folder.iterdir() if part.is_dir())


def _anchor(title: str) -> str:
    return "".join(character if character.isalnum() else "-" for character in title.lower())
