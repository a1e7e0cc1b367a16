"""Letters in reverse: "aynd" -> "dnya"."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scratchgrad.tools.text.pairs import GeneratedPairs

LETTERS = np.array(list("abcdefghijklmnopqrstuvwxyz"))


@dataclass(frozen=True)
class Reverse(GeneratedPairs):
    def pair(self, rng: np.random.Generator) -> tuple[str, str]:
        """Three to twelve letters, and the same from the last to the first."""
        letters = "".join(rng.choice(LETTERS, rng.integers(3, 13)))
        return letters, letters[::-1]
