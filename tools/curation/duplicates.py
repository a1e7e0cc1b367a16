"""What a step says that removes all but one of a group of documents: the verdicts, and the numbers of its report."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from scratchgrad.errors import printable
from scratchgrad.tools.curation.catalogue import Catalogue
from scratchgrad.tools.curation.corpus import Corpus
from scratchgrad.tools.curation.hashes import mixed
from scratchgrad.tools.curation.shuffle import Records, Runs, groups, indices_of, of_unit, records_of, sorted_records
from scratchgrad.tools.curation.stages import run_stage
from scratchgrad.tools.curation.verdicts import Verdict, read_verdicts, write_verdicts

# A document that is removed, the rank of the one that is kept instead of it, and how alike the two are.
REMOVED = np.dtype([("place", "<u8"), ("kept", "<u8"), ("score", "<f8")])
_MEMBER = np.dtype([("kept", "<u8"), ("member", "<u8"), ("score", "<f8")])

LARGEST = 20  # groups that the report names
MEMBERS = 5  # of each of them
PAIRS = 50  # that the report shows side by side

Ids = Callable[[Sequence[int]], Sequence[str]]


def describe(members: Records, kept: Records, scores: Records, seed: int) -> dict[str, Any]:
    """Groups of documents in numbers, as JSON holds them: of each document that is removed, (documents,) uint64, which
    is kept, and how alike they are. A group has one kept document, and all that are removed for it.
    """
    rows = sorted_records(records_of(_MEMBER, kept=kept, member=members, score=scores))
    members, kept, scores = rows["member"], rows["kept"], rows["score"]
    starts, lengths = groups(rows, "kept")
    largest = np.lexsort((kept[starts], -lengths))[:LARGEST]
    chosen = np.lexsort((members, mixed(members.astype(np.uint64), seed)))[:PAIRS]
    return {
        "sizes": {str(size): count for size, count in sorted(Counter((lengths + 1).tolist()).items())},
        "largest": [
            {
                "size": int(lengths[group]) + 1,
                "kept": int(kept[starts[group]]),
                "members": members[starts[group] : starts[group] + min(MEMBERS, int(lengths[group]))].tolist(),
            }
            for group in largest.tolist()
        ],
        "pairs": [
            {"kept": int(kept[pair]), "removed": int(members[pair]), "score": float(scores[pair])}
            for pair in chosen.tolist()
        ],
    }


def put_together(parts: Iterable[Mapping[str, Any]], seed: int, ids: Ids) -> dict[str, Any]:
    """What `describe` said of parts that share no group, of all of them, with ids in the place of ranks."""
    sizes: Counter[str] = Counter()
    largest: list[dict[str, Any]] = []
    pairs: list[dict[str, Any]] = []
    for part in parts:
        sizes.update(part["sizes"])
        largest += part["largest"]
        pairs += part["pairs"]
    largest = sorted(largest, key=lambda group: (-group["size"], group["kept"]))[:LARGEST]
    shuffled = mixed(np.array([pair["removed"] for pair in pairs], np.uint64), seed).tolist()
    pairs = [pairs[number] for number in sorted(range(len(pairs)), key=lambda n: (shuffled[n], pairs[n]["removed"]))]
    return {
        "clusters": sum(sizes.values()),
        "removed": sum((int(size) - 1) * count for size, count in sizes.items()),
        "sizes": dict(sorted(sizes.items(), key=lambda item: int(item[0]))),
        "largest": [
            {"size": group["size"], "kept": ids([group["kept"]])[0], "members": list(ids(group["members"]))}
            for group in largest
        ],
        "pairs": [
            {"kept": ids([pair["kept"]])[0], "removed": ids([pair["removed"]])[0], "score": pair["score"]}
            for pair in pairs[:PAIRS]
        ],
    }  # fmt: skip


def removal_verdicts(removed: Records, ids: Ids, reason: Callable[[float], str]) -> Iterator[Verdict]:
    """Of the removed documents of one unit, (documents,) of REMOVED."""
    names = ids(removed["kept"].tolist())
    scores = removed["score"].tolist()
    for index, score, name in zip(indices_of(removed["place"]).tolist(), scores, names, strict=True):
        yield Verdict(index, reason(score), score, name)


def run_verdicts(corpus: Corpus, verdicts: Callable[[int], Iterable[Verdict]]) -> None:
    """verdicts: of a unit those of its documents; a `functools.partial` of a function of a module."""
    run_stage(corpus.pool, corpus.folder / "verdicts", partial(_write, verdicts), range(corpus.documents.units))


def removed_of_unit(removed: Runs, ids: Ids, reason: Callable[[float], str], unit: int) -> Iterator[Verdict]:
    return removal_verdicts(removed.between(of_unit(unit)), ids, reason)


def removed_by_source(corpus: Corpus, catalogue: Catalogue) -> dict[str, dict[str, int]]:
    """Of each source how many documents it has, and how many of these the verdicts of this step drop."""
    counts: dict[str, dict[str, int]] = {}
    for unit, folder in enumerate(sorted((corpus.folder / "verdicts").iterdir())):
        dropped = {verdict.index for verdict in read_verdicts(folder) if not verdict.spans}
        for source, indices in catalogue.sources(unit).items():
            count = counts.setdefault(source, {"documents": 0, "removed": 0})
            count["documents"] += len(indices)
            count["removed"] += len(dropped.intersection(indices))
    return dict(sorted(counts.items()))


def alarms(by_source: Mapping[str, Mapping[str, int]], share: float) -> list[str]:
    """A sentence for each source that loses more than a share of its documents."""
    return [
        f"source '{source}' loses {count['removed']:,} of its {count['documents']:,} documents as duplicates"
        for source, count in by_source.items()
        if count["removed"] > share * count["documents"]
    ]


def warn(step: str, sentences: Iterable[str]) -> None:
    for sentence in sentences:
        print(f"{step}: {printable(sentence)}", file=sys.stderr)


def _write(verdicts: Callable[[int], Iterable[Verdict]], unit: int, folder: Path) -> None:
    write_verdicts(folder, verdicts(unit))
