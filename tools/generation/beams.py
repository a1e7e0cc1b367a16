"""Beam search: the likeliest texts as a whole, where greedy search takes the likeliest token each time."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from math import inf
from typing import Any, NamedTuple

import numpy as np

from scratchgrad.errors import UserError
from scratchgrad.models import KeyValueCache
from scratchgrad.tools.generation.model import (
    GenerationModel,
    check_prompt,
    decode,
    generating,
    longest_text,
    notice_new_weights,
    prefill,
)
from scratchgrad.tools.generation.sampling import largest, log_probabilities

LARGEST_PENALTY = 10  # beyond, the length alone decides


class Hypothesis(NamedTuple):
    """A text that was found, and its log-probability / (its length) ** length_penalty, the end token counted in."""

    score: float
    ids: list[int]  # without the end token
    log_probs: list[float]


@dataclass(frozen=True)
class BeamNode:
    """A text's last token; those before it are its parents', which several texts may share."""

    parent: BeamNode | None
    token: int
    total: float  # the log-probability of the text up to here


def beam_search(
    model: GenerationModel,
    prompts: Sequence[Sequence[int]],
    max_tokens: int | None,
    beams: int,
    *,
    length_penalty: float = 1.0,
    stop_token_ids: Collection[int] = (),
) -> list[list[Hypothesis]]:
    """For every prompt at most `beams` texts, the best first; all prompts are searched together.

    A text ends with a token of `stop_token_ids`, after `max_tokens`, or where the context is full. Scores and the end
    of a search are Hugging Face's: a text's log-probability is divided by length ** length_penalty (0: as it is; larger
    numbers favour longer texts), and a search is over when `beams` texts have ended and none that still runs is better
    now than the worst of these. UserError where a prompt is empty or longer than the context, or there is no beam.
    """
    if not -LARGEST_PENALTY <= length_penalty <= LARGEST_PENALTY:
        raise UserError(f"length-penalty {length_penalty:g} is outside {-LARGEST_PENALTY} to {LARGEST_PENALTY}")
    if beams < 1:
        raise UserError(f"a search with {beams} beams finds nothing; it needs at least 1")
    for prompt in prompts:
        check_prompt(model, prompt)
    limits = [longest_text(model, prompt, max_tokens) for prompt in prompts]
    searches = [_Search(beams, limit, length_penalty, frozenset(stop_token_ids)) for limit in limits]
    with generating(model):
        logits, cache = _read(model, prompts, beams)
        running = searches
        while True:
            sources = []
            for first, search in zip(range(0, len(logits), beams), running, strict=True):
                parents = search.advance(log_probabilities(logits[first : first + beams]))
                if not search.is_over:
                    sources += [first + parent for parent in parents]
            running = [search for search in running if not search.is_over]
            if not running:
                return [search.found() for search in searches]
            cache.select(sources)
            logits = decode(model, [token for search in running for token in search.tokens], cache)


def _read(
    model: GenerationModel, prompts: Sequence[Sequence[int]], beams: int
) -> tuple[np.ndarray[Any, Any], KeyValueCache]:
    """Logits (prompts * beams, vocabulary) of first tokens, and a cache of as many rows. Each prompt is read once."""
    notice_new_weights(model)
    read = {prompt: prefill(model, prompt) for prompt in map(tuple, prompts)}
    parts = [read[tuple(prompt)] for prompt in prompts]
    cache = KeyValueCache(len(parts[0][1].layers), rows=0)
    for _, part in parts:
        cache.extend(part)
    cache.select(np.arange(len(parts)).repeat(beams))
    return np.stack([logits for logits, _ in parts]).repeat(beams, axis=0), cache


class _Search:
    """The texts that go on from one prompt: `beams` that run, each in a row of its own, and those that have ended."""

    def __init__(self, beams: int, max_tokens: int, length_penalty: float, stop_token_ids: frozenset[int]) -> None:
        self._max_tokens, self._length_penalty, self._stop_token_ids = max_tokens, length_penalty, stop_token_ids
        self._length = 0
        self._totals = np.array([0.0] + [-inf] * (beams - 1))  # at first all rows are one text: the first stands for it
        self._nodes: list[BeamNode | None] = [None] * beams
        self._ended: list[tuple[float, BeamNode]] = []

    @property
    def tokens(self) -> list[int]:
        """The newest token of each row."""
        return [0 if node is None else node.token for node in self._nodes]

    def advance(self, log_probabilities: np.ndarray[Any, Any]) -> list[int]:
        """Go on by a token, given those of the next one (row, vocabulary); the row that each row goes on from.

        A text's best continuation stays in its row. Others take the rows of texts that are given up.
        """
        beams = len(self._nodes)
        self._length += 1
        totals = (self._totals[:, None] + log_probabilities).reshape(-1)
        going: list[tuple[int, BeamNode]] = []
        for rank, place in enumerate(_best(totals, beams * (1 + max(1, len(self._stop_token_ids))))):
            row, token = divmod(int(place), log_probabilities.shape[1])
            node = BeamNode(self._nodes[row], token, float(totals[place]))
            if token in self._stop_token_ids or self._length == self._max_tokens:
                if rank < beams:
                    self._ended.append((self._score(node.total), node))
            elif len(going) < beams:
                going.append((row, node))
        self._ended = sorted(self._ended, key=lambda ended: -ended[0])[:beams]
        return self._settle(going)

    def _settle(self, going: list[tuple[int, BeamNode]]) -> list[int]:
        parents = list(range(len(self._nodes)))
        self._nodes, others = [None] * len(parents), []
        for row, node in going:
            if self._nodes[row] is None:
                self._nodes[row] = node
            else:
                others.append((row, node))
        given_up = [row for row in parents if self._nodes[row] is None]
        for to, (row, node) in zip(given_up, others, strict=False):
            parents[to], self._nodes[to] = row, node
        self._totals = np.array([-inf if node is None else node.total for node in self._nodes])
        return parents

    @property
    def is_over(self) -> bool:
        """Nothing runs any more, or nothing that does would get among those that have ended."""
        best, is_full = self._totals.max(), len(self._ended) == len(self._nodes)
        return bool(best == -inf or (is_full and self._score(best) <= self._ended[-1][0]))

    def found(self) -> list[Hypothesis]:
        """The best first."""
        return [_hypothesis(score, node, self._stop_token_ids) for score, node in self._ended]

    def _score(self, total: float) -> float:
        return float(total / self._length**self._length_penalty)


def _best(totals: np.ndarray[Any, Any], count: int) -> np.ndarray[Any, Any]:
    """Where the `count` largest of totals (n,) stand, in falling order; of equal ones the first. None that is -inf."""
    places = largest(totals, count)
    places = places[np.argsort(-totals[places], kind="stable")]
    return places[totals[places] > -inf]


def _hypothesis(score: float, node: BeamNode | None, stop_token_ids: frozenset[int]) -> Hypothesis:
    path: list[BeamNode] = []
    while node is not None:
        path.append(node)
        node = node.parent
    path.reverse()
    log_probs = [after.total - before for before, after in zip([0.0, *(n.total for n in path)], path, strict=False)]
    count = len(path) - (path[-1].token in stop_token_ids)
    return Hypothesis(score, [n.token for n in path[:count]], log_probs[:count])
