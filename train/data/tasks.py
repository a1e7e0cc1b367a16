"""Tasks with a known answer, as many pairs of them as one likes: what an encoder-decoder can be seen to have learnt."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

ONES = [
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
]  # fmt: skip
TENS = ["", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
LETTERS = np.array(list("abcdefghijklmnopqrstuvwxyz"))

Pair = tuple[str, str]  # source, target


def reverse(rng: np.random.Generator) -> Pair:
    """Three to twelve letters, and the same from the last to the first: "aynd" -> "dnya"."""
    letters = "".join(rng.choice(LETTERS, rng.integers(3, 13)))
    return letters, letters[::-1]


def numbers(rng: np.random.Generator) -> Pair:
    """A number of one to six digits in words, and in digits: "seven thousand forty-one" -> "7041"."""
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


TASKS: dict[str, Callable[[np.random.Generator], Pair]] = {"reverse": reverse, "numbers": numbers}
