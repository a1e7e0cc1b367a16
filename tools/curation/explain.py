"""What happened to one document on its way, step by step, with what was measured and removed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from scratchgrad.errors import UserError
from scratchgrad.files import read_json, verify_manifest
from scratchgrad.tools.curation.attributes import read_attributes
from scratchgrad.tools.curation.decisions import KEPT, read_fates
from scratchgrad.tools.curation.document_stage import REMOVED, SKIPPED
from scratchgrad.tools.curation.engine import STAGES, SUMMARY, VERDICTS
from scratchgrad.tools.curation.shards import DOCUMENTS, read_lines
from scratchgrad.tools.curation.verdicts import read_verdicts

LONGEST = 100  # characters of a line that was removed


def explain(out: Path, id: str) -> Iterator[str]:
    """The story of the document `id` in the folder of a finished curation, as lines of text.

    UserError where the folder is none, or no document of that id was read.
    """
    verify_manifest(out, sizes_only=True)
    groups = read_json(out / SUMMARY)["groups"]
    for group in groups:
        stages, number = out / STAGES, group["number"]
        place = _find(stages / f"{number}-documents", id)
        if place is None and group is groups[0]:
            yield _skipped(stages / f"{number}-documents", id)
            return
        if place is None:
            return
        unit, index, row = place
        part = stages / f"{number}-documents" / unit
        if group is groups[0]:
            yield f"{id} of source {row['source']}; unit {unit}, document {index}"
        yield from _edits(part, id, group["steps"])
        yield from _measured(row, group["rules"])
        fate = int(read_fates(stages / f"{number + 1}-fates" / unit)[index])
        if fate != KEPT:
            rule = group["rules"][fate]
            yield f"dropped by {rule['step']}: {rule['reason']} ({_rule(rule)}, and here {_number(row, rule)})"
            return
        for offset, step in enumerate(group["corpus_steps"], number + 2):
            verdicts = read_verdicts(stages / f"{offset}-{step['step']}" / VERDICTS / unit)
            verdict = next((verdict for verdict in verdicts if verdict.index == index), None)
            if verdict is not None and not verdict.spans:
                partner = f", {verdict.partner}, which is kept" if verdict.partner is not None else ""
                yield f"dropped by {step['step']}: {verdict.reason}{partner} ({verdict.measured:g})"
                return
            if verdict is not None:
                yield f"{step['step']} removed {len(verdict.spans)} parts of it: {verdict.reason}"
    yield f"kept: it is in documents/{unit}/{DOCUMENTS}"


def _find(stage: Path, id: str) -> tuple[str, int, dict[str, Any]] | None:
    """The unit of a document, its number there, and its row of attributes."""
    for part in sorted(stage.iterdir()):
        before = 0
        for columns in read_attributes(part, ["id"]):
            found = (columns["id"] == id).nonzero()[0]
            if len(found):
                index = before + int(found[0])
                return part.name, index, _row(part, index)
            before += len(columns["id"])
    return None


def _row(part: Path, index: int) -> dict[str, Any]:
    before = 0
    for columns in read_attributes(part):
        length = len(columns["id"])
        if index < before + length:
            return {name: values[index - before] for name, values in columns.items()}
        before += length
    raise IndexError(index)


def _edits(part: Path, id: str, steps: list[str]) -> Iterator[str]:
    removed = [row for row in read_lines(part / REMOVED) if row["id"] == id]
    for step in steps:
        for row in removed:
            if row["step"] == step:
                text = row["text"] if len(row["text"]) <= LONGEST else f"{row['text'][:LONGEST]}..."
                yield f"{step} removed {text!r}: {row['reason']}"


def _measured(row: dict[str, Any], rules: list[dict[str, Any]]) -> Iterator[str]:
    asked: dict[str, list[str]] = {f"{rule['step']}.{rule['measured']}": [] for rule in rules}
    asked |= {name: [] for name in row if "." in name and name not in asked}
    for rule in rules:
        asked[f"{rule['step']}.{rule['measured']}"].append(f"{rule['comparison']} {rule['threshold']:g}")
    for name, conditions in asked.items():
        kept = f" (kept where {' and '.join(conditions)})" if conditions else ""
        value = row[name]
        if value != value:  # NaN
            yield f"{name}: not asked of this document"
        else:
            yield f"{name} = {value if isinstance(value, str) else f'{value:g}'}{kept}"


def _rule(rule: dict[str, Any]) -> str:
    return f"{rule['setting']} = {rule['threshold']:g}: {rule['measured']} {rule['comparison']} {rule['threshold']:g}"


def _number(row: dict[str, Any], rule: dict[str, Any]) -> str:
    value = row[f"{rule['step']}.{rule['measured']}"]
    return f"{value:g}"


def _skipped(stage: Path, id: str) -> str:
    for part in sorted(stage.iterdir()):
        for row in read_lines(part / SKIPPED):
            if row["name"] == id:
                return f"{id} was skipped: {row['reason']}"
    raise UserError(f"no document '{id}' was read; ids are `path:record`, as in the attributes and in documents")
