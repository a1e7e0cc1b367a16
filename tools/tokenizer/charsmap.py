"""SentencePiece's normalizer: a compiled map from strings to strings, then rules for blanks.

The map is a double array (Yata et al. 2007, as laid out by darts-clone) whose keys are UTF-8, followed by the texts
that they turn into, each ended by a zero byte. It is unpacked into a dict, and one regular expression finds the places
where any key could begin; the longest key there wins.
"""

from __future__ import annotations

import re
import struct
from collections import defaultdict
from collections.abc import Iterator

from scratchgrad.errors import UserError
from scratchgrad.tools.tokenizer.normal_forms import Traced

BLANK = "\u2581"  # what stands for a blank in vocabularies
MOST_STEPS = 1 << 20  # through the array; NMT-NFKC has 224,711 keys
LONGEST_KEY = 64  # bytes


class Charsmap:
    """blob: the compiled map, or b"" for none. The blanks: is one put in front, and are they left out at both ends and
    where several stand in a row?
    """

    def __init__(self, blob: bytes, *, adds_prefix: bool, squeezes_blanks: bool) -> None:
        self.blob, self.adds_prefix, self.squeezes_blanks = blob, adds_prefix, squeezes_blanks
        self._map = unpack_charsmap(blob)
        if squeezes_blanks and any("  " in text for text in self._map.values()):
            raise UserError("the normalizer turns a character into two blanks, which is not supported")
        self._longest = max(map(len, self._map), default=0)
        self._candidates = _candidates(self._map)

    def settings(self) -> tuple[object, ...]:
        return self.blob, self.adds_prefix, self.squeezes_blanks

    def normalize(self, text: str) -> str:
        parts, done = [], 0
        for start, end, replacement in self._found(text):
            parts += [text[done:start], replacement]
            done = end
        mapped = "".join([*parts, text[done:]])
        if self.squeezes_blanks:
            mapped = re.sub(" +", " ", mapped).lstrip(" ")
        if not mapped:
            return ""
        mapped = mapped.replace(" ", BLANK)
        if self.adds_prefix:
            mapped = BLANK + mapped
        return mapped.rstrip(BLANK) if self.squeezes_blanks else mapped

    def trace(self, text: str) -> Traced:
        """As `normalize`, character by character."""
        out: list[tuple[str, int, int]] = []
        done = 0
        for start, end, replacement in [*self._found(text), (len(text), len(text), "")]:
            out += [(text[i], i, i + 1) for i in range(done, start)]
            out += [(character, start, end) for character in replacement]
            done = end
        if self.squeezes_blanks:
            before = [" ", *(character for character, _, _ in out)]
            out = [item for item, last in zip(out, before, strict=False) if not item[0] == last == " "]
        if out and self.adds_prefix:
            out.insert(0, (BLANK, out[0][1], out[0][1]))
        out = [(BLANK if character == " " else character, start, end) for character, start, end in out]
        while self.squeezes_blanks and out and out[-1][0] == BLANK:
            out.pop()
        return Traced("".join(c for c, _, _ in out), [start for _, start, _ in out], [end for _, _, end in out])

    def _found(self, text: str) -> Iterator[tuple[int, int, str]]:
        """(start, end, replacement) of each key in the text, from left to right, the longest first."""
        place = 0
        while self._candidates is not None and (match := self._candidates.search(text, place)):
            place = match.start()
            for end in range(min(place + self._longest, len(text)), place, -1):
                replacement = self._map.get(text[place:end])
                if replacement is not None:
                    yield place, end, replacement
                    place = end
                    break
            else:
                place += 1


def _candidates(keys: dict[str, str]) -> re.Pattern[str] | None:
    """Places where a key may begin: a character that is one, or the first two characters of a longer one."""
    if not keys:
        return None
    alone = "".join(re.escape(key) for key in sorted(keys) if len(key) == 1)
    first = "".join(map(re.escape, sorted({key[0] for key in keys if len(key) > 1})))
    second = "".join(map(re.escape, sorted({key[1] for key in keys if len(key) > 1})))
    ways = [f"[{alone}]"] * bool(alone) + [f"[{first}][{second}]"] * bool(first)
    return re.compile("|".join(ways))


def unpack_charsmap(blob: bytes) -> dict[str, str]:
    """What each key of a compiled map becomes; UserError where it is damaged."""
    if not blob:
        return {}
    try:
        (size,) = struct.unpack_from("<I", blob)
        if size % 4 or not 4 <= size <= len(blob) - 4:
            raise ValueError(f"its array has {size} bytes, and the map {len(blob)}")
        units = struct.unpack_from(f"<{size // 4}I", blob, 4)
        texts = blob[4 + size :]
        return {key.decode(): texts[at : texts.index(b"\0", at)].decode() for key, at in _keys(units)}
    except (ValueError, IndexError, struct.error) as error:
        raise UserError(f"the normalizer's compiled map is damaged: {error}") from None


def _keys(units: tuple[int, ...]) -> Iterator[tuple[bytes, int]]:
    """(key, value) of a double array.

    A unit's lowest byte is the label of the edge that leads to it, and it lies at (its parent's base) XOR label. Bit 8
    says that a value lies at the unit's base itself, with bit 31 set. The base is relative to the unit's own place.
    Keys with equal ends share them, so that there may be more keys than units, but not so many as in a damaged array.
    """
    children: defaultdict[int, list[int]] = defaultdict(list)
    for place, unit in enumerate(units):
        label = unit & 0x800000FF
        if 0 < label <= 0xFF:
            children[place ^ label].append(place)
    visits, todo = 0, [(_base(units, 0), b"")]
    while todo:
        base, key = todo.pop()
        for place in children[base]:
            visits += 1
            unit = units[place]
            longer = key + bytes([unit & 0xFF])
            if visits > MOST_STEPS or len(longer) > LONGEST_KEY:
                raise ValueError("its array leads to too many or too long keys")
            below = _base(units, place)
            if unit >> 8 & 1:
                yield longer, units[below] & 0x7FFFFFFF
            todo.append((below, longer))


def _base(units: tuple[int, ...], place: int) -> int:
    unit = units[place]
    return place ^ (unit >> 10 << (8 if unit >> 9 & 1 else 0))
