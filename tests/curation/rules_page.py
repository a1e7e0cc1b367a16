"""The tables of docs/curation.md: which rules each preset has, made from the steps themselves.

python -m tests.curation.rules_page     writes them into the page
"""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.resources import files

from scratchgrad.tools.curation.recipe import PACKAGE, presets
from scratchgrad.tools.curation.step import Edit, Filter, Rule, Step, step_class, step_names
from scratchgrad.tools.recipes import parse, to_text
from tests.pages import ROOT

PAGE = ROOT / "docs" / "curation.md"
BEGIN, END = "<!-- rules: made by tests/curation/rules_page.py -->\n", "<!-- end of rules -->\n"
WORDS = {">=": "at least", ">": "more than", "<=": "at most", "<": "less than"}


def preset_text(name: str) -> str:
    return files(PACKAGE).joinpath(name).read_text(encoding="utf-8")


def variant(name: str) -> str:
    """What a preset says of itself: the comment at its head."""
    lines = preset_text(name).split("\n")
    return " ".join(line.removeprefix("# ") for line in lines if line.startswith("# "))


def steps_of(name: str) -> list[Step]:
    """With the settings of the preset."""
    values = parse(preset_text(name))
    known = [step for step in values["curate"]["steps"] if step in step_names()]
    return [step_class(step)(**values.get(step, {})) for step in known]


def rows(step: Step) -> list[tuple[str, str, str]]:
    """What is asked or done, the setting, and for what a document is dropped.

    Of an edit, what its numbers say; of a step that looks at all documents, what the preset sets.
    """
    found = []
    if not isinstance(step, Filter):
        found.append(((import_module(type(step).__module__).__doc__ or "").split("\n\n")[0], "", ""))
        thresholds = {rule.setting for rule in step.rules()}
        for name, field in type(step).model_fields.items():
            value = getattr(step, name)
            is_number = isinstance(step, Edit) and isinstance(value, int | float) and not isinstance(value, bool)
            if name not in thresholds and field.description and (is_number or name in step.model_fields_set):
                found.append(
                    (field.description, f"`{step.name}.{to_text({name: value}).strip().replace(': ', '=')}`", "")
                )
    for rule in step.rules():
        found.append((_kept(rule), f"`{step.name}.{rule.setting}`", rule.reason))
    return [(what.strip().rstrip(".").replace("\n", " "), setting, reason) for what, setting, reason in found]


def _kept(rule: Rule) -> str:
    return f"{rule.measured.replace('_', ' ')} {WORDS[rule.comparison]} {rule.threshold:,.10g}"


def tables() -> str:
    parts = []
    for preset in presets():
        parts.append(f"\n### {preset.removesuffix('.yaml')}\n\n{variant(preset)}\n\n")
        parts.append(
            "| step | what is asked, or done | setting | if not, dropped for | source |\n|---|---|---|---|---|\n"
        )
        for step in steps_of(preset):
            source = step.source
            for asked, setting, reason in rows(step):
                parts.append(f"| {step.name} | {asked} | {setting} | {reason} | {source} |\n")
                source = ""
    return "".join(parts) + "\n"


def with_tables(page: str) -> str:
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}{tables()}{END}{after}"


if __name__ == "__main__":
    PAGE.write_text(with_tables(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    sys.exit(0)
