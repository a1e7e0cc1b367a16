"""What stands around the ids of a text, or of two: [CLS] first [SEP] second [SEP]."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

from scratchgrad.errors import UserError

Part = tuple[int | Literal["A", "B"], int]  # an id, or the first or second text; the segment that it belongs to


class Encoded(NamedTuple):
    """ids, and for each the segment that it belongs to (BERT's token_type_ids)."""

    ids: list[int]
    segments: list[int]


@dataclass(frozen=True)
class Template:
    single: tuple[Part, ...]
    pair: tuple[Part, ...]

    def apply(self, first: list[int], second: list[int] | None, max_length: int | None) -> Encoded:
        """`first` and `second` between the template's own ids, cut to `max_length` ids in all.

        The longer text gives way until both are equally long, then both; the second keeps one more if the room is odd.
        """
        parts = self.single if second is None else self.pair
        texts = {"A": first, "B": second or []}
        if max_length is not None:
            own = sum(isinstance(part, int) for part, _ in parts)
            if max_length < own:
                raise UserError(f"max_length {max_length} leaves no room for the {own} tokens of the template")
            keep_first, keep_second = _shares(len(texts["A"]), len(texts["B"]), max_length - own)
            texts = {"A": texts["A"][:keep_first], "B": texts["B"][:keep_second]}
        ids: list[int] = []
        segments: list[int] = []
        for part, segment in parts:
            added = [part] if isinstance(part, int) else texts[part]
            ids += added
            segments += [segment] * len(added)
        return Encoded(ids, segments)


PLAIN = Template((("A", 0),), (("A", 0), ("B", 1)))  # nothing around them


def around(before: list[int], after: list[int]) -> Template:
    """The same ids before and after each text, all in segment 0."""

    def wrapped(text: Literal["A", "B"]) -> tuple[Part, ...]:
        return (*((token, 0) for token in before), (text, 0), *((token, 0) for token in after))

    return Template(wrapped("A"), (*wrapped("A"), *wrapped("B")))


def _shares(first: int, second: int, room: int) -> tuple[int, int]:
    """How many ids of each text fit."""
    if first + second <= room:
        return first, second
    short = min(first, second)
    if 2 * short >= room:
        short, long = room // 2, room - room // 2
    else:
        long = room - short
    return (short, long) if first <= second else (long, short)
