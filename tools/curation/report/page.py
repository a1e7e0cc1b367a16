"""The page: what came in, what each rule took, what is left, and samples of all of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any

from scratchgrad.files import atomic_file, read_json, verify_manifest
from scratchgrad.tools.curation.engine import REPORT, STAGES, SUMMARY, VERDICTS
from scratchgrad.tools.curation.report.bias_section import bias_sections
from scratchgrad.tools.curation.report.corpus_steps import corpus_step
from scratchgrad.tools.curation.report.dropped import removed, samples
from scratchgrad.tools.curation.report.facts import rule_of
from scratchgrad.tools.curation.report.html import Section, cut
from scratchgrad.tools.curation.report.labels import labels
from scratchgrad.tools.curation.report.origin import how_it_was_made, times
from scratchgrad.tools.curation.report.samples import (
    Masked,
    dropped_by_rules,
    dropped_by_step,
    masking,
    removed_parts,
    texts_of,
)
from scratchgrad.tools.curation.report.thresholds import thresholds
from scratchgrad.tools.curation.report.waterfall import overview, waterfall
from scratchgrad.tools.curation.resuming import RECIPE
from scratchgrad.tools.recipes import parse

PAGE = "report.html"
PAIRS = 8  # of duplicates


def write_report_page(out: Path, seconds: Mapping[str, Any] | None = None) -> Path:
    """Write `report.html` into the folder of a finished curation, and say where. seconds: of stages and steps.

    All but the times follows from the folder's other files.
    """
    manifest = verify_manifest(out, sizes_only=True)
    summary = read_json(out / SUMMARY)
    recipe_text = (out / RECIPE).read_text(encoding="utf-8")
    masked = masking(out / RECIPE)
    sections = [overview(summary), waterfall(summary)]
    behind = ""
    for group in summary["groups"]:
        sections += _group(out, group, parse(recipe_text)["curate"]["seed"], masked, behind)
        behind = f", after {group['corpus_steps'][-1]['step']}" if group["corpus_steps"] else ""
    sections += bias_sections(out)
    if seconds:
        sections.append(times(seconds))
    sections.append(how_it_was_made(recipe_text, manifest))
    with atomic_file(out / PAGE) as file:
        file.write(_page(out.resolve().name, sections).encode("utf-8", "backslashreplace"))
    return out / PAGE


def _group(out: Path, group: Mapping[str, Any], seed: int, masked: Masked, behind: str) -> Iterator[Section]:
    """The sections of a document stage and of the corpus steps behind it. behind: which step it stands after."""
    first = group["number"]
    stage, fates = _parts(out / STAGES / f"{first}-documents"), _parts(out / STAGES / f"{first + 1}-fates")

    def shown(text: str) -> str:
        return cut(masked(text))

    rules = group["rules"]
    chosen, ids = dropped_by_rules(stage, fates, [rule_of(rule) for rule in rules], seed)
    folders = {
        step["step"]: out / STAGES / f"{place}-{step['step']}"
        for place, step in enumerate(group["corpus_steps"], first + 2)
    }
    by_step = {name: dropped_by_step(stage, _parts(folder / VERDICTS), seed) for name, folder in folders.items()}
    reports = {
        name: read_json(folder / REPORT) if (folder / REPORT).exists() else {} for name, folder in folders.items()
    }
    pairs = {name: report.get("pairs", [])[:PAIRS] for name, report in reports.items()}
    ids += [id for found in by_step.values() for id, _ in [*found.of("documents"), *found.of("parts")]]
    ids += [pair[end] for found in pairs.values() for pair in found for end in ("kept", "removed")]
    texts = texts_of(stage, ids)
    if rules:
        yield f"Samples of what was dropped{behind}", samples(chosen, rules, texts, shown)
    taken_out = removed_parts(stage, seed)
    if taken_out.counts:
        yield f"Samples of what was taken out of texts{behind}", removed(taken_out, shown)
    if rules:
        yield f"Rules and their thresholds{behind}", thresholds(stage, rules)
    if by_label := labels(stage, fates):
        yield f"What rules keep of each language and kind{behind}", by_label
    for name in folders:
        yield f"What {name} did", corpus_step(name, by_step[name], reports[name], pairs[name], texts, masked, shown)


def _page(name: str, sections: list[Section]) -> str:
    style = files("scratchgrad.tools.curation.report").joinpath("style.css").read_text(encoding="utf-8")
    contents = "".join(f'<li><a href="#{_anchor(title)}">{escape(title)}</a></li>' for title, _ in sections)
    body = "".join(
        f'<section id="{_anchor(title)}"><h2>{escape(title)}</h2>{html}</section>' for title, html in sections
    )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        f"<title>Curation: {escape(name)}</title><style>{style}</style></head><body>"
        f'<a class="skip" href="#main">Skip to the report</a><header><h1>Curation: {escape(name)}</h1></header>'
        f'<nav aria-label="Contents"><ul>{contents}</ul></nav><main id="main" tabindex="-1">{body}</main>'
        "</body></html>\n"
    )


def _parts(folder: Path) -> list[Path]:
    return sorted(part for part in folder.iterdir() if part.is_dir())


def _anchor(title: str) -> str:
    return "".join(character if character.isalnum() else "-" for character in title.lower())
