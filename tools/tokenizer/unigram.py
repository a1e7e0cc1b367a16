"""Unigram language-model tokenization (Kudo 2018), as in T5: the most probable way to cut the text, by Viterbi."""

from __future__ import annotations

from array import array
from collections.abc import Sequence

from scratchgrad.errors import UserError
from scratchgrad.tools.tokenizer.added_tokens import AddedToken
from scratchgrad.tools.tokenizer.base import Span, Tokenizer
from scratchgrad.tools.tokenizer.charsmap import BLANK, Charsmap
from scratchgrad.tools.tokenizer.normal_forms import Traced
from scratchgrad.tools.tokenizer.templates import Template

UNKNOWN_PENALTY = 10.0  # how much less probable (in nats) an unknown character is than the rarest token


class Unigram(Tokenizer):
    """spelled and scores: each token as the vocabulary writes it, and the logarithm of its probability. unknown: the id
    of characters without a token, one for a run of them, unless `byte_ids` (of <0x00> to <0xFF>) spell those.
    """

    def __init__(
        self,
        spelled: Sequence[str],
        scores: Sequence[float],
        added: Sequence[AddedToken],
        charsmap: Charsmap,
        *,
        unknown: int,
        unknown_text: str = " \u2047 ",
        byte_ids: Sequence[int] | None = None,
        drops_first_space: bool = True,
        template: Template | None = None,
    ) -> None:
        tokens = [text.replace(BLANK, " ").encode() for text in spelled]
        for byte, token in enumerate(byte_ids or ()):
            tokens[token] = bytes([byte])
        tokens[unknown] = unknown_text.encode()
        super().__init__(tokens, added, template)
        self.spelled, self.scores, self.charsmap = list(spelled), list(scores), charsmap
        self.unknown, self.byte_ids, self.drops_first_space = unknown, byte_ids, drops_first_space
        beside = {token.id for token in added} | set(byte_ids or ()) | {unknown}
        self.id_of = {text: i for i, text in enumerate(spelled) if i not in beside}
        if not self.id_of:
            raise UserError("the vocabulary has no token that text could be made of")
        self._scores = array("f", scores)
        self._score_of_unknown = min(self._scores[i] for i in self.id_of.values()) - UNKNOWN_PENALTY
        self._prefixes = {text[:end]: -1 for text in self.id_of for end in range(1, len(text))} | self.id_of

    def settings(self) -> tuple[object, ...]:
        return self.scores, self.unknown, self.byte_ids, self.charsmap.settings()

    def normalize(self, text: str, at_start: bool = True) -> str:
        return self.charsmap.normalize(text)

    def trace(self, text: str, at_start: bool = True) -> Traced:
        return self.charsmap.trace(text)

    def encode_normalized(self, text: str, at_start: bool = True) -> list[int]:
        return [token for token, _ in self._path(text)]

    def spans(self, text: str, ids: list[int], at_start: bool = True) -> list[Span]:
        return [span for _, span in self._path(text)]

    def _path(self, text: str) -> list[tuple[int, Span]]:
        """Tokens with their places: the best way to each place is the best of the ways to those before it.

        Sums are rounded to float32 as SentencePiece's are, for then what is a tie there is one here.
        """
        size = len(text)
        best, rounded = array("f", bytes(4 * (size + 1))), array("f", [0])
        came_from, by_token = [-1] * (size + 1), [-1] * (size + 1)
        find, scores = self._prefixes.get, self._scores
        for start in range(size):
            here, end, found_one = best[start], start + 1, False
            while end <= size and (token := find(text[start:end])) is not None:
                if token >= 0:
                    rounded[0] = here + scores[token]
                    score = rounded[0]
                    found_one = found_one or end == start + 1
                    if came_from[end] < 0 or score > best[end]:
                        best[end], came_from[end], by_token[end] = score, start, token
                end += 1
            if not found_one:
                rounded[0] = here + self._score_of_unknown
                score = rounded[0]
                if came_from[start + 1] < 0 or score > best[start + 1]:
                    best[start + 1], came_from[start + 1], by_token[start + 1] = score, start, self.unknown
        path, end = [], size
        while end > 0:
            path.append((by_token[end], (came_from[end], end)))
            end = came_from[end]
        return self._with_unknowns_joined(text, path[::-1])

    def _with_unknowns_joined(self, text: str, path: list[tuple[int, Span]]) -> list[tuple[int, Span]]:
        joined: list[tuple[int, Span]] = []
        for token, (start, end) in path:
            if token == self.unknown and self.byte_ids is not None:
                joined += [(self.byte_ids[byte], (start, end)) for byte in text[start:end].encode()]
            elif token == self.unknown and joined and joined[-1][0] == token:
                joined[-1] = (token, (joined[-1][1][0], end))
            else:
                joined.append((token, (start, end)))
        return joined
