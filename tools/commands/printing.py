"""What scratchgrad-sample prints: texts in their order, however they come, or JSON, a line for each."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field

from scratchgrad.tools.commands.common import say, write
from scratchgrad.tools.generation import Candidate
from scratchgrad.tools.tokenizer import Tokenizer

BETWEEN_SAMPLES = "-" * 20


@dataclass
class Written:
    """A text that is being written, from its prompt on."""

    prompt: str
    sample: int
    pieces: list[str] = field(default_factory=list)
    ids: list[int] = field(default_factory=list)
    log_probs: list[float] = field(default_factory=list)
    score: float | None = None  # of a search with beams

    @property
    def text(self) -> str:
        return "".join(self.pieces)


@dataclass(frozen=True)
class Output:
    """as_json: a JSON object for each text. log_probs: tell those of a text's tokens behind it, on standard error."""

    as_json: bool = False
    log_probs: bool = False

    @property
    def needs_log_probs(self) -> bool:
        return self.as_json or self.log_probs


class Printer:
    """Prints `texts`: the first that is not over as it grows, and those behind it when it is their turn.

    echoes: a text is printed from its prompt on.
    """

    def __init__(self, tokenizer: Tokenizer, texts: Sequence[Written], output: Output, *, echoes: bool) -> None:
        self._tokenizer, self._texts, self._echoes = tokenizer, texts, echoes
        self._as_json, self._log_probs = output.as_json, output.log_probs
        self._current, self._over = 0, set[int]()
        self._open()

    def add(self, number: int, token: int | None, log_prob: float | None, piece: str) -> None:
        """Text number `number` grows, by a token, or by what was held back."""
        text = self._texts[number]
        if token is not None:
            text.ids.append(token)
        if log_prob is not None:
            text.log_probs.append(log_prob)
        if not piece:
            return
        text.pieces.append(piece)
        if number == self._current and not self._as_json:
            write(piece)

    def finish(self, number: int) -> None:
        """Text number `number` is over."""
        self._over.add(number)
        while self._current in self._over:
            self._close(self._texts[self._current])
            self._current += 1
            if self._current < len(self._texts):
                self._open()

    def _open(self) -> None:
        if not self._as_json:
            between = f"{BETWEEN_SAMPLES}\n" if self._current else ""
            text = self._texts[self._current]
            write(between + (text.prompt if self._echoes else "") + text.text)

    def _close(self, text: Written) -> None:
        if self._as_json:
            scored = {} if text.score is None else {"score": text.score}
            row = {"prompt": text.prompt, "sample": text.sample, "text": text.text, **scored}
            write(json.dumps({**row, "ids": text.ids, "log_probs": text.log_probs}) + "\n")
            return
        write("\n")
        if self._log_probs:
            for token, log_prob in zip(text.ids, text.log_probs, strict=True):
                say(f"{log_prob:10.4f}  {self._tokenizer.decode([token])!r}")


def write_filled(text: str, masks: Sequence[Sequence[Candidate]], *, as_json: bool) -> None:
    """A text with its masks filled, and the candidates for each where there are several."""
    if as_json:
        write(json.dumps({"text": text, "masks": [[c._asdict() for c in candidates] for candidates in masks]}) + "\n")
        return
    write(f"{text}\n")
    for number, candidates in enumerate(masks, start=1):
        for candidate in candidates if len(candidates) > 1 else ():
            write(f"mask {number}  {candidate.probability:.4f}  {candidate.text!r}\n")
