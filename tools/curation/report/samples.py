"""Documents and lines that the report shows: chosen by a hash of the seed and their id, so that they are the same ones
whoever does the work.
"""

from __future__ import annotations

import hashlib
import heapq
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from scratchgrad.tools.curation.attributes import read_attributes
from scratchgrad.tools.curation.decisions import KEPT, StepRule, read_fates
from scratchgrad.tools.curation.document import Document
from scratchgrad.tools.curation.document_stage import REMOVED
from scratchgrad.tools.curation.recipe import load_recipe
from scratchgrad.tools.curation.shards import DOCUMENTS, read_lines
from scratchgrad.tools.curation.step import Edit
from scratchgrad.tools.curation.verdicts import read_verdicts

OF_EACH = 5  # documents or lines for each reason
LONGEST = 20_000  # characters of a text that the report looks at
PRIVACY = "privacy"

Masked = Callable[[str], str]  # a text, without what the recipe replaces as personal


class Chosen:
    """The `OF_EACH` entries of each kind whose key has the smallest hash, of any number that is offered."""

    def __init__(self, seed: int, most: int = OF_EACH) -> None:
        self._seed, self._most = seed, most
        self._held: dict[Any, list[tuple[int, str, Any]]] = defaultdict(list)
        self.counts: Counter[Any] = Counter()

    def offer(self, kind: Any, key: str, entry: Any) -> None:
        self.counts[kind] += 1
        digest = hashlib.blake2b(f"{self._seed}:{key}".encode("utf-8", "surrogatepass"), digest_size=8).digest()
        rank = -int.from_bytes(digest, "big")  # the heap gives away the smallest, which is the largest hash
        held = self._held[kind]
        if len(held) < self._most:
            heapq.heappush(held, (rank, key, entry))
        elif rank > held[0][0]:
            heapq.heapreplace(held, (rank, key, entry))

    def of(self, kind: Any) -> list[Any]:
        return [entry for _, _, entry in sorted(self._held[kind], key=lambda one: (-one[0], one[1]))]


def dropped_by_rules(
    stage: Sequence[Path], fates: Sequence[Path], rules: Sequence[StepRule], seed: int
) -> tuple[Chosen, list[str]]:
    """(number of a rule) -> (id, measured), and all ids that were chosen."""
    chosen = Chosen(seed)
    for part, fate in zip(stage, fates, strict=True):
        numbers, before = read_fates(fate), 0
        for columns in read_attributes(part, ["id", *dict.fromkeys(rule.column for rule in rules)]):
            own = numbers[before : before + len(columns["id"])]
            before += len(own)
            for place in (own != KEPT).nonzero()[0].tolist():
                id, rule = columns["id"][place], int(own[place])
                chosen.offer(rule, id, (id, float(columns[rules[rule].column][place])))
    return chosen, [id for number in range(len(rules)) for id, _ in chosen.of(number)]


def dropped_by_step(stage: Sequence[Path], verdicts: Sequence[Path], seed: int) -> Chosen:
    """ "documents" -> (id, Verdict) of those that a corpus step drops, "parts" -> of those that lose some."""
    chosen = Chosen(seed)
    for part, folder in zip(stage, verdicts, strict=True):
        own = {verdict.index: verdict for verdict in read_verdicts(folder)}
        before = 0
        for columns in read_attributes(part, ["id"]) if own else ():
            for place, id in enumerate(columns["id"], before):
                if (verdict := own.get(place)) is not None:
                    chosen.offer("parts" if verdict.spans else "documents", id, (id, verdict))
            before += len(columns["id"])
    return chosen


def removed_parts(stage: Sequence[Path], seed: int) -> Chosen:
    """(step, reason) -> (id, text) of what edits removed."""
    chosen = Chosen(seed)
    for part in stage:
        for row in read_lines(part / REMOVED):
            chosen.offer((row["step"], row["reason"]), f"{row['id']}:{row['text']}", (row["id"], row["text"]))
    return chosen


def texts_of(stage: Sequence[Path], ids: Iterable[str]) -> Mapping[str, str]:
    """The texts of documents as they came out of a document stage; nothing where they were not kept."""
    wanted, texts = set(ids), {}
    for part in stage:
        if not (part / DOCUMENTS).exists():
            continue
        places = set()
        before = 0
        for columns in read_attributes(part, ["id"]):
            places |= {before + place for place, id in enumerate(columns["id"]) if id in wanted}
            before += len(columns["id"])
        if places:
            for place, row in enumerate(read_lines(part / DOCUMENTS)):
                if place in places:
                    texts[row["id"]] = row["text"]
    return texts


def masking(recipe: Path) -> Masked:
    """What the report does to every text before it shows it: a report is passed on, and so it shows no address that the
    recipe replaces, be it of a document that was dropped before the step `privacy` saw it. Long texts are cut.
    """
    edits = [step for step in load_recipe(str(recipe)).steps if step.name == PRIVACY and isinstance(step, Edit)]

    def masked(text: str) -> str:
        document = Document("", text[:LONGEST], "")
        for step in edits:
            document = step.edit(document).document
        return document.text

    return masked
