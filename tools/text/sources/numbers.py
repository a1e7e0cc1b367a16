"""Numbers in words, and in digits: "seven thousand forty-one" -> "7041"."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scratchgrad.tools.text.pairs import GeneratedPairs

ONES = [
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
]  # fmt: skip
TENS = ["", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]


@dataclass(frozen=True)
class Numbers(GeneratedPairs):
    def pair(self, rng: np.random.Generator) -> tuple[str, str]:
        """A number of one to six digits."""
        number = int(rng.integers(0, 10 ** rng.integers(1, 7)))
        return in_words(number), str(number)


def in_words(number: int) -> str:
    """0 <= number < 1,000,000, as it is read in English."""
    if number < 20:
        return ONES[number]
    if number < 100:
        return TENS[number // 10] + (f"-{ONES[number % 10]}" if number % 10 else "")
    unit, name = (1000, "thousand") if number >= 1000 else (100, "hundred")
    head, rest = divmod(number, unit)
    return f"{in_words(head)} {name}" + (f" {in_words(rest)}" if rest else "")
