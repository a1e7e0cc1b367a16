"""Which examples, or which ends of them, are validation: about the share asked for, the same on every machine.

By name, where that gives about the share: an example is validation if the hash of its key is below it, and stays on its
side when others come. The key is the name of a document, and the input (its first field) of any other example, so that
an input that occurs twice is not on both sides.

Where documents are few, or one dominates, that would give none or all. Then a document with more than half of the
validation text's characters in it loses its tail, at the end of a line if one is near, else between words; of the
others those with the smallest hashes are validation, until they make up the share.

Validation has at least half and at most one and a half times the share in characters (the other way round, of the
training text, for a share above a half). Only inputs that occur again and again can make that impossible, or a corpus
of few characters.
"""

from __future__ import annotations

import hashlib
import json
import math
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from scratchgrad.errors import UserError
from scratchgrad.tools.text import Example

TOLERANCE = 0.5  # of the share: how far validation may be from it
DOCUMENT = ("text",)  # the fields of examples that can be cut

Numbers = np.ndarray[Any, Any]


@dataclass(frozen=True)
class TrainValidationSplit:
    """What `train_validation_split` decided.

    below: an example is validation if the hash of its key is. longest: documents of more characters lose their tail
    instead; None: there are no such.
    """

    share: float
    fields: tuple[str, ...]
    below: int
    longest: int | None = None

    def sides(self, examples: Iterable[Example]) -> Iterator[tuple[bool, Example]]:
        """Each example, with whether it is validation; a document that is cut comes twice, its tail as validation."""
        for example in examples:
            if self.longest is None or size_of(example, self.fields) <= self.longest:
                yield key_hash(key_of(example, self.fields)) < self.below, example
                continue
            name, fields, text = example.name, dict(example.fields), example.text()
            del example  # it may be most of the memory
            border = tail_border(text, self.share)
            tail, text = text[border:], text[:border]
            parts = [(True, Example(name, {**fields, "text": tail})), (False, Example(name, {**fields, "text": text}))]
            del tail, text, fields
            yield parts.pop()
            yield parts.pop()


def train_validation_split(
    examples: Iterable[Example], share: float, fields: Sequence[str] = ("text",)
) -> TrainValidationSplit:
    """Decide in one pass over the examples, of which a hash and a length are kept (16 bytes each).

    share: what part of the characters is to be validation, 0 <= share < 1. fields: those of an example that are read,
    the first of them its input. UserError where an example lacks one.
    """
    if not 0 <= share < 1:
        raise UserError(f"a share of {share} cannot be validation: it is 0 or more, and less than 1")
    fields = tuple(fields)
    keys, sizes = array("Q"), array("Q")
    for example in examples:
        keys.append(key_hash(key_of(example, fields)))
        sizes.append(size_of(example, fields))
    return _decide(np.frombuffer(keys, np.uint64), np.frombuffer(sizes, np.uint64), share, fields)


def _decide(keys: Numbers, sizes: Numbers, share: float, fields: tuple[str, ...]) -> TrainValidationSplit:
    below, total, margin = math.ceil(share * 2**64), int(sizes.sum()), TOLERANCE * min(share, 1 - share)
    if not share or not total:
        return TrainValidationSplit(share, fields, below)
    chosen = int(sizes[keys < np.uint64(below)].sum())
    if abs(chosen / total - share) <= margin:
        return TrainValidationSplit(share, fields, below)
    longest = int(margin * total) if fields == DOCUMENT else None
    whole = slice(None) if longest is None else sizes <= longest
    distinct, places = np.unique(keys[whole], return_inverse=True)
    reached = np.concatenate([[0], np.cumsum(np.bincount(places, sizes[whole], len(distinct)))])
    count = int(np.argmin(abs(reached - share * reached[-1])))
    if longest is None:
        count = min(max(count, 1), len(distinct) - 1)
    return TrainValidationSplit(share, fields, int(distinct[count - 1]) + 1 if count else 0, longest)


def tail_border(text: str, share: float) -> int:
    """Where a text is cut so that about `share` of its characters come behind, and one at least on either side.

    Behind the end of a line where one is near enough, else behind a blank, else between two characters.
    """
    ideal, margin = len(text) * (1 - share), len(text) * TOLERANCE * min(share, 1 - share) / 2
    middle, first, last = int(ideal), max(1, math.ceil(ideal - margin)), min(len(text) - 1, int(ideal + margin))
    for end in ("\n", " "):
        before = text.rfind(end, first - 1, middle) + 1
        if before:
            return before
        after = text.find(end, middle, last) + 1
        if after:
            return after
    return min(max(1, middle), len(text) - 1)


def key_of(example: Example, fields: Sequence[str]) -> str:
    """What decides an example's side: a document's name, another example's input."""
    if tuple(fields) == DOCUMENT:
        return example.name
    value = example.value(fields[0])
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True)


def key_hash(key: str) -> int:
    """The first 64 bits of its sha256: the same on every machine."""
    return int.from_bytes(hashlib.sha256(key.encode(errors="surrogatepass")).digest()[:8], "big")


def size_of(example: Example, fields: Sequence[str]) -> int:
    """Characters of these fields."""
    if tuple(fields) == DOCUMENT:
        return len(example.text())
    values = (example.value(field) for field in fields)
    return sum(len(value if isinstance(value, str) else json.dumps(value)) for value in values)
