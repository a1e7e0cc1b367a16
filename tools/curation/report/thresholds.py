"""Of each rule: how the documents lie around its threshold, and what another threshold would keep."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from scratchgrad.tools.curation.report.charts import histogram
from scratchgrad.tools.curation.report.facts import RuleFacts, group_facts, rule_of
from scratchgrad.tools.curation.report.html import change, details, number, table
from scratchgrad.tools.curation.report.waterfall import condition

LEGEND = (
    '<p>Each bar counts documents: <span class="key kept">kept</span> or <span class="key dropped">dropped</span> by '
    "this rule alone. The dashed line is the threshold. Heights are square roots of counts, so that one document is "
    "seen beside a thousand; the last bar at each end has what lies beyond, too.</p>"
)


def thresholds(stage: Sequence[Path], rules: Sequence[Mapping[str, Any]]) -> str:
    """Those rules that drop something stand open, the others folded."""
    facts = group_facts(stage, [rule_of(rule) for rule in rules])
    figures = [
        (fact.alone, _figure(fact, facts.kept, facts.documents, rule))
        for fact, rule in zip(facts.rules, rules, strict=True)
    ]
    dropping = "".join(figure for alone, figure in figures if alone)
    idle = [figure for alone, figure in figures if not alone]
    html = LEGEND
    html += f'<div class="figures">{dropping}</div>' if dropping else "<p>Every document satisfies every rule.</p>"
    if idle:
        html += details(
            f"{len(idle)} rules that every document satisfies", f'<div class="figures">{"".join(idle)}</div>'
        )
    return html


def _figure(facts: RuleFacts, kept: int, documents: int, described: Mapping[str, Any]) -> str:
    rule = facts.rule.rule
    asked = condition(described)
    told = f"drops {facts.alone:,} of {documents:,} documents: {rule.reason}"
    unmeasured = f"; not asked of {facts.unmeasured:,}" if facts.unmeasured else ""
    drawn = histogram(facts.histogram, rule.threshold, f"{asked}: {told}")
    tried = sorted([*facts.kept_at.items(), (rule.threshold, kept)])
    rows = [
        (f"{number(threshold)} (now)" if threshold == rule.threshold else number(threshold),
         number(count), change(f"{count - kept:+,}") if count != kept else "\N{EN DASH}")
        for threshold, count in tried
    ]  # fmt: skip
    caption = (
        f"<b>{escape(facts.rule.step)}: {escape(asked)}</b> "
        f"<small>{escape(told + unmeasured)}. Setting: {escape(rule.setting)}</small>"
    )
    return (
        f"<figure><figcaption>{caption}</figcaption>{drawn}"
        f"{table(('if set to', 'all rules keep', 'change'), rows)}</figure>"
    )
