"""Pairs of texts that a program makes, with a known answer: what a model can be seen to have learnt."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from scratchgrad.random import Purpose, generator
from scratchgrad.tools.text.example import Example
from scratchgrad.tools.text.source import Source


@dataclass(frozen=True)
class GeneratedPairs(Source):
    """pairs: how many are made, the same ones on every machine. A subclass says how one is."""

    fields = ("source", "target")

    pairs: int = 20_000

    @abstractmethod
    def pair(self, rng: np.random.Generator) -> tuple[str, str]:
        """A source, and its target."""

    def examples(self, fields: Sequence[str] = ("source", "target")) -> Iterator[Example]:
        for number in range(self.pairs):
            source, target = self.pair(generator(0, Purpose.TASK, step=number))
            yield Example(f"{self.name}:{number}", {"source": source, "target": target})
